// The frame of a long list: title, count, filter, order, letters, and the list itself.

import { get, getCollection } from "../api.js";
import { setParameters } from "../router.js";
import { t } from "../strings.js";
import { button, emptyState, h } from "../ui.js";
import { letterBar, virtualList } from "../virtual.js";

const FILTER_DELAY_MS = 120;
const FIRST_PAGE = 100;

// Return the elements of a view.
//   path: of the API, "albums", "artists" or "tracks"; sorts: names of the orders, the first is the usual one
//   query: parameters of the address; genres: [name] to choose from; actions: elements beside the title
//   hasRatings: whether the answers depend on the user, so that none of before is shown
//   layout, render: of the list; render gets (item, index, list, load)
export async function browse({ path, sorts, query, genres = [], actions = [], hasRatings = false, layout, render, className }) {
  const title = t(`page.${path}`);
  const chosen = { q: query.q ?? "", sort: query.sort ?? sorts[0], genre: query.genre ?? "", reverse: query.reverse ?? "" };
  const count = h("span", { class: "soft count", role: "status" });
  const body = h("div", { class: "browse" });
  let showCount = 0;

  async function show() {
    const thisShow = (showCount += 1);
    const parameters = { ...chosen };
    const load = (offset, limit) => (hasRatings ? get : getCollection)(path, { ...parameters, offset, limit });
    body.setAttribute("aria-busy", "true");
    const first = await load(0, FIRST_PAGE);
    if (thisShow !== showCount) return; // another order or filter has been chosen meanwhile
    body.removeAttribute("aria-busy");
    count.textContent = t(`count.${path}`, { count: first.total });
    if (!first.total) return body.replaceChildren(emptyState("search", t(chosen.q || chosen.genre ? "browse.none" : "browse.empty")));
    const list = virtualList({ first, load, layout, label: title, className, render: (item, index) => render(item, index, list, load) });
    body.replaceChildren(...[list.element, letterBar(first.letters, list)].filter(Boolean));
    if (body.isConnected) list.element.dispatchEvent(new Event("mount"));
  }

  const change = async (name, value) => {
    chosen[name] = value;
    setParameters({ ...chosen, sort: chosen.sort === sorts[0] ? "" : chosen.sort });
    document.getElementById("main").scrollTop = 0;
    await show().catch((problem) => body.replaceChildren(emptyState("map", problem.message)));
  };

  let timer = 0;
  const filter = h("input", {
    type: "search", class: "filter", placeholder: t("browse.filter"), "aria-label": t({ albums: "browse.filterAlbums", artists: "browse.filterArtists", tracks: "browse.filterTracks" }[path]), value: chosen.q, maxlength: 100,
    autocomplete: "off", spellcheck: "false",
    oninput: ({ target }) => {
      clearTimeout(timer);
      timer = setTimeout(() => change("q", target.value.trim()), FILTER_DELAY_MS);
    },
  });
  const select = (name, label, options) => h("select", { "aria-label": label, onchange: ({ target }) => change(name, target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen[name] }, text)));
  const reverse = button("reverse", t("browse.reverse"), () => {
    reverse.setAttribute("aria-pressed", String(!chosen.reverse));
    change("reverse", chosen.reverse ? "" : "true");
  }, { "aria-pressed": String(Boolean(chosen.reverse)) });

  await show();
  return [
    h("div", { class: "top" }, h("h1", {}, title), count),
    h("div", { class: "tools" }, filter,
      genres.length ? select("genre", t("browse.genre"), [["", t("browse.allGenres")], ...genres.map((name) => [name, name])]) : null,
      h("span", { class: "sort" }, select("sort", t("browse.order"), sorts.map((name) => [name, t(`sort.${name}`)])), reverse), actions),
    body,
  ];
}
