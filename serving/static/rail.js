// The panel at the side: the queue, and what is recommended next.

import { capitalize, withoutRepeats } from "./reasons.js";
import { t } from "./strings.js";
import { button, h } from "./ui.js";

const RAIL_ITEMS = 8;

export function makeRail(player, items) {
  const panel = document.getElementById("next");
  let isConnected = true; // the event stream
  let knownIds = new Set(); // tracks that were recommended before

  function blocks(maxItems) {
    const upcoming = player.upcoming.slice(0, Math.min(maxItems, 5));
    // The panel does not repeat what is beside it.
    const beside = new Set([...document.querySelectorAll("#main .cards [data-track]")].map((card) => card.dataset.track));
    const suggestions = player.suggestions.filter(({ track }) => !beside.has(track.id)).slice(0, Math.max(4, maxItems));
    const removeButton = (offset) => button("x", t("queue.removeIt"), () => player.removeAt(player.index + 1 + offset));
    const found = [];
    if (upcoming.length && !(maxItems === RAIL_ITEMS && location.hash.startsWith("#/queue")))
      found.push(h("div", { class: "block" },
        h("div", { class: "top" }, h("h2", {}, player.radio ? capitalize(player.radio.label) : t("page.queue")), h("button", { type: "button", class: "link", onclick: () => player.clear() }, t("queue.clear"))),
        h("ol", { class: "lines" }, upcoming.map((item, offset) => items.line({ track: item.track, reason: "" }, () => player.jump(player.index + 1 + offset), removeButton(offset)))),
        player.upcoming.length > upcoming.length ? h("a", { class: "link rest", href: "#/queue", onclick: () => document.getElementById("sheet").close() }, t("queue.all", { count: player.upcoming.length })) : null));
    found.push(h("div", { class: "block" },
      h("h2", {}, t("rail.next"), h("span", { class: isConnected ? "live" : "live off", title: t(isConnected ? "rail.live" : "rail.notLive") })),
      suggestions.length
        ? h("ol", { class: "lines recommended" }, withoutRepeats(suggestions).map((item) => items.line(item, () => player.play([{ track: item.track, reason: item.because }]))))
        : h("p", { class: "empty" }, t(beside.size ? "rail.beside" : "rail.empty"))));
    return found;
  }

  let frameRequest = 0;
  function drawNext() {
    cancelAnimationFrame(frameRequest);
    frameRequest = requestAnimationFrame(() => {
      const focused = panel.contains(document.activeElement) && document.activeElement.closest("[data-track]")?.dataset.track;
      panel.replaceChildren(...blocks(RAIL_ITEMS));
      const rows = [...panel.querySelectorAll(".recommended .line")];
      if (knownIds.size) for (const row of rows) if (!knownIds.has(row.dataset.track)) row.classList.add("fresh");
      knownIds = new Set(player.recommended.map(({ track }) => track.id));
      if (focused) panel.querySelector(`[data-track="${CSS.escape(focused)}"] button`)?.focus();
      for (const row of document.querySelectorAll("#main [data-track]")) row.classList.toggle("now", row.dataset.track === player.track?.id);
    });
  }

  for (const type of ["change", "recommended", "track"]) player.addEventListener(type, drawNext);
  return {
    blocks,
    draw: drawNext,
    setConnected(connected) {
      isConnected = connected;
      drawNext();
    },
  };
}
