// The map with its search and legend; paths, clusters and what a line is drawn round become lists that can be played and saved.

import { get, post } from "../api.js";
import { colour, drawMap } from "../map.js";
import { makePlaylist } from "../playlists.js";
import { sayCluster } from "../server_words.js";
import { t } from "../strings.js";
import { emptyState, h, icon, toast } from "../ui.js";

const N_LEGEND = 12;
const N_PATH = 20; // tracks of a path
const N_FOUND = 500; // tracks that a search marks
const MAX_LIST = 100; // tracks of a list
const SEARCH_DELAY_MS = 150;

// Choose at most MAX_LIST tracks, evenly, and order them so that each is followed by its nearest neighbour.
function neighbourOrder(ids, placeOf) {
  const step = Math.max(1, ids.length / MAX_LIST);
  const left = Array.from({ length: Math.min(ids.length, MAX_LIST) }, (_, n) => ids[Math.floor(n * step)]);
  const ordered = left.splice(0, 1);
  while (left.length) {
    const [x, y] = placeOf(ordered.at(-1));
    const distances = left.map((id) => Math.hypot(placeOf(id)[0] - x, placeOf(id)[1] - y));
    ordered.push(...left.splice(distances.indexOf(Math.min(...distances)), 1));
  }
  return ordered;
}

export function makeMapView({ player, items }) {
  return async function map() {
    const data = await get("map");
    if (!data.ids.length) return [items.top(t("page.map")), emptyState("map", t("map.empty"))];
    for (const each of data.names) each.name = sayCluster(each.name);
    const numbers = new Map(data.ids.map((id, n) => [id, n]));
    const placeOf = (id) => [data.x[numbers.get(id)], data.y[numbers.get(id)]];
    let from = null; // while a path is being chosen: "from" for its first track, then that track
    const hint = h("p", { class: "soft hint", role: "status" });
    const found = h("div", {});

    const showList = (title, note, tracks, name) => found.replaceChildren(items.section(title, note ? h("p", { class: "soft" }, note) : null,
      h("div", { class: "tools" }, items.playAll(tracks),
        h("button", { type: "button", class: "pill ghost", onclick: () => makePlaylist(tracks, name) }, icon("playlist"), t("playlist.save"))),
      items.lines(tracks)));

    // Show tracks of the map as a list.
    async function list(ids, title, name = "") {
      const ordered = neighbourOrder(ids, placeOf);
      try {
        const { items: tracks } = await post("tracks/list", { tracks: ordered });
        showList(title, tracks.length < ids.length ? t("map.part", { count: tracks.length }) : null, tracks, name);
      } catch (problem) {
        toast(problem.message);
      }
    }

    const drawing = drawMap(data, player, {
      fetchTrack: (id) => get(`tracks/${encodeURIComponent(id)}`),
      choose: (track) => {
        if (!from) player.play([{ track, reason: t("map.reason") }]);
        else if (from === "from") setFrom(track);
        else finish(track);
      },
      surround: (ids) => {
        setDrawing(false);
        drawing.showTracks(ids.length ? ids : null);
        hint.textContent = t("map.surrounded", { count: ids.length });
        if (ids.length) list(ids, hint.textContent);
      },
    });

    function setFrom(track) {
      from = track;
      hint.textContent = track === "from" ? t("map.pathFirst") : t("map.pathLast", track);
      if (track !== "from") drawing.showPath([track.id]);
    }
    function end() {
      from = null;
      hint.textContent = "";
      pathButton.setAttribute("aria-pressed", "false");
    }
    async function finish(track) {
      const first = from;
      end();
      try {
        const path = await get("path", { start: first.id, end: track.id, count: N_PATH });
        drawing.showPath(path.items.map((each) => each.id));
        const names = { first: first.title, last: track.title };
        showList(t("map.pathTitle", names), null, path.items, t("map.pathName", names));
      } catch (problem) {
        toast(problem.message);
      }
    }
    function setDrawing(isDrawing) {
      drawing.setDrawing(isDrawing);
      surroundButton.setAttribute("aria-pressed", String(isDrawing));
      hint.textContent = isDrawing ? t("map.surroundHint") : "";
    }

    const chip = (iconName, text, action, attributes = {}) => h("button", { type: "button", class: "chip", onclick: action, ...attributes }, icon(iconName), text);
    const pathButton = chip("map", t("map.path"), () => {
      if (from) return end();
      setDrawing(false);
      pathButton.setAttribute("aria-pressed", "true");
      setFrom(numbers.has(player.track?.id) ? player.track : "from");
    }, { "aria-pressed": "false" });
    const surroundButton = chip("edit", t("map.surround"), () => {
      end();
      setDrawing(surroundButton.getAttribute("aria-pressed") === "false");
    }, { "aria-pressed": "false" });
    const nowButton = chip("note", t("map.now"), () => {
      if (!numbers.has(player.track?.id)) return toast(t("player.nothing"));
      drawing.showTracks([player.track.id]);
    });

    let timer = 0;
    async function search(query) {
      release();
      hint.textContent = "";
      if (!query) return drawing.showTracks(null);
      const answer = await get("tracks", { q: query, limit: N_FOUND }).catch(() => ({ items: [] }));
      if (field.value.trim() !== query) return; // more has been typed meanwhile
      const count = drawing.showTracks(answer.items.map((track) => track.id));
      hint.textContent = count ? t("map.found", { count }) : t("map.notFound");
    }
    const field = h("input", { type: "search", class: "filter", placeholder: t("map.search"), "aria-label": t("map.search"), maxlength: 100, autocomplete: "off", spellcheck: "false",
      oninput: () => {
        clearTimeout(timer);
        timer = setTimeout(() => search(field.value.trim()), SEARCH_DELAY_MS);
      } });

    const legend = h("ul", { class: "legend", "aria-label": t("map.clusters") }, data.names.slice(0, N_LEGEND).map(({ cluster, name, tracks }) => {
      const dot = h("i", { "aria-hidden": "true" });
      dot.style.background = colour(cluster);
      const button = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
        const isChosen = button.getAttribute("aria-pressed") === "true";
        release();
        button.setAttribute("aria-pressed", String(!isChosen));
        drawing.showOnly(isChosen ? null : cluster);
        if (!isChosen) list(data.ids.filter((_, n) => data.clusters[n] === cluster), name, name);
      } }, dot, name, h("small", {}, tracks));
      return h("li", {}, button);
    }));
    const release = () => {
      for (const button of legend.querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
    };

    return [
      items.top(t("page.map"), h("span", { class: "soft count" }, t("count.tracks", { count: data.ids.length }))),
      h("div", { class: "tools" }, field, pathButton, surroundButton, nowButton),
      h("p", { class: "soft" }, t("map.hint")), hint, drawing.element, legend, found,
    ];
  };
}
