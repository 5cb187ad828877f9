// A search field whose tracks are added to a list by one press each.

import { get } from "./api.js";
import { t } from "./strings.js";
import { button, h } from "./ui.js";

const SEARCH_DELAY_MS = 120;
const N_FOUND = 8;

// items: see items.js; play(track), add(track): called for a press on the cover, and on the button beside it
export function trackFinder(items, { play, add }) {
  const list = h("ol", { class: "lines" });
  let timer = 0;
  const row = (track) => items.line(track, () => play(track), button("plus", t("playlist.addIt", track), () => add(track)));
  async function search() {
    const query = field.value.trim();
    const { items: found } = query ? await get("tracks", { q: query, limit: N_FOUND }).catch(() => ({ items: [] })) : { items: [] };
    if (field.value.trim() !== query) return; // more has been typed meanwhile
    list.replaceChildren(...(query && !found.length ? [h("li", { class: "soft" }, t("playlist.foundNone"))] : found.map(row)));
  }
  const field = h("input", { type: "search", class: "filter", placeholder: t("playlist.find"), "aria-label": t("playlist.find"), maxlength: 100, autocomplete: "off", spellcheck: "false",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(search, SEARCH_DELAY_MS);
    } });
  return h("section", { class: "finder" }, h("div", { class: "tools" }, field), list);
}
