// The keys that work everywhere on the page.

export function listenToKeys(player, items) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping = event.target.closest?.("input:not([type=range]), select, textarea, [role=menu], canvas");
    if (isTyping) return;
    const onButton = event.target.closest?.("button, a");
    const action = {
      " ": () => !onButton && player.toggle(),
      k: () => player.toggle(),
      n: () => player.next(),
      p: () => player.previous(),
      m: () => player.mute(),
      s: () => player.toggleShuffle(),
      r: () => player.cycleRepeat(),
      l: () => player.track && items.rate(player.track, true),
      "/": () => document.getElementById("q").focus(),
      ArrowRight: () => !event.target.closest("input") && player.seek(player.position + 5),
      ArrowLeft: () => !event.target.closest("input") && player.seek(player.position - 5),
    }[event.key];
    if (action && action() !== false) event.preventDefault();
  });
}
