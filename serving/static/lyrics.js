// The words of the present track: the line that is sung is in the middle; a press on a line goes there.

import { get } from "./api.js";
import { t } from "./strings.js";
import { h } from "./ui.js";

const USER_SCROLL_MS = 4000; // after somebody has scrolled, the words stay where they are for a while

export function makeLyrics(player) {
  const list = h("ol", { class: "words" });
  const element = h("div", { class: "lyrics", role: "region", "aria-label": t("player.lyrics"), tabindex: 0, hidden: true }, list);
  let trackId = "";
  let lines = []; // {start_s, text}
  let current = -1;
  let lastScroll = 0;
  for (const type of ["wheel", "touchmove"]) element.addEventListener(type, () => (lastScroll = Date.now()), { passive: true });

  async function load() {
    const { track } = player;
    if (!track || track.id === trackId) return;
    trackId = track.id;
    lines = [];
    current = -1;
    list.replaceChildren(h("li", { class: "soft" }, "…"));
    const answer = await get(`tracks/${encodeURIComponent(track.id)}/lyrics`).catch(() => null);
    if (trackId !== track.id) return; // another track plays meanwhile
    lines = answer?.lines ?? [];
    element.classList.toggle("synced", Boolean(answer?.synced));
    list.replaceChildren(...(lines.length ? lines.map(row) : [h("li", { class: "soft" }, t("player.noLyrics"))]));
    element.scrollTop = 0;
    update();
  }

  const row = ({ start_s, text }) => h("li", {}, start_s === null
    ? text || "♪"
    : h("button", { type: "button", onclick: () => player.seek(start_s) }, text || "♪"));

  function update() {
    if (element.hidden || !element.classList.contains("synced")) return;
    const index = lines.findLastIndex((line) => line.start_s !== null && line.start_s <= player.position + 0.2);
    if (index === current) return;
    list.children[current]?.removeAttribute("aria-current");
    current = index;
    const line = list.children[index];
    line?.setAttribute("aria-current", "true");
    if (line && Date.now() - lastScroll > USER_SCROLL_MS)
      element.scrollTo({ top: line.offsetTop - element.clientHeight / 2 + line.clientHeight / 2, behavior: "smooth" });
  }

  player.addEventListener("tick", update);
  player.addEventListener("track", () => element.hidden || load());
  return {
    element,
    show(visible) {
      element.hidden = !visible;
      if (visible) load();
    },
  };
}
