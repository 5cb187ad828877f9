// The map with its legend, and paths on it from one track to another that become a playlist.

import { get } from "../api.js";
import { colour, drawMap, isDark } from "../map.js";
import { makePlaylist } from "../playlists.js";
import { sayCluster } from "../server_words.js";
import { t } from "../strings.js";
import { emptyState, h, icon, toast } from "../ui.js";

const N_LEGEND = 12;
const N_PATH = 20; // tracks of a path

export function makeMapView({ player, items }) {
  return async function map() {
    const data = await get("map");
    for (const each of data.names) each.name = sayCluster(each.name);
    if (!data.ids.length) return [items.top(t("page.map")), emptyState("map", t("map.empty"))];
    let from = null; // while a path is being chosen: "from" for its first track, then that track
    const hint = h("p", { class: "soft hint", role: "status" });
    const found = h("div", {});
    const getTrack = (id) => get(`tracks/${encodeURIComponent(id)}`);
    const drawing = drawMap(data, player, getTrack, (track) => {
      if (!from) player.play([{ track, reason: t("map.reason") }]);
      else if (from === "from") setFrom(track);
      else finish(track);
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
        found.replaceChildren(items.section(t("map.pathTitle", { first: first.title, last: track.title }),
          h("div", { class: "tools" }, items.playAll(path.items),
            h("button", { type: "button", class: "pill ghost", onclick: () => makePlaylist(path.items, t("map.pathName", { first: first.title, last: track.title })) }, icon("playlist"), t("playlist.save")))),
        items.lines(path.items));
      } catch (problem) {
        toast(problem.message);
      }
    }
    const pathButton = h("button", { type: "button", class: "chip", "aria-pressed": "false", onclick: () => {
      if (from) return end();
      pathButton.setAttribute("aria-pressed", "true");
      setFrom(player.track && data.ids.includes(player.track.id) ? player.track : "from");
    } }, icon("map"), t("map.path"));

    const legend = h("ul", { class: "legend", "aria-label": t("map.clusters") }, data.names.slice(0, N_LEGEND).map(({ cluster, name, tracks }) => {
      const dot = h("i", { "aria-hidden": "true" });
      dot.style.background = colour(cluster, isDark() ? 66 : 46);
      const chip = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
        const isChosen = chip.getAttribute("aria-pressed") === "true";
        for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
        chip.setAttribute("aria-pressed", String(!isChosen));
        drawing.showOnly(isChosen ? null : cluster);
      } }, dot, name, h("small", {}, tracks));
      return h("li", {}, chip);
    }));
    return [
      items.top(t("page.map"), h("span", { class: "soft count" }, t("count.tracks", { count: data.ids.length }))),
      h("div", { class: "tools" }, pathButton, h("span", { class: "soft" }, t("map.hint"))),
      hint, drawing.element, legend, found,
    ];
  };
}
