// The map with its legend, and paths on it from one track to another that become a playlist.

import { get } from "../api.js";
import { colour, drawMap, isDark } from "../map.js";
import { makePlaylist } from "../playlists.js";
import { emptyState, h, icon, plural, toast } from "../ui.js";

const N_LEGEND = 12;
const N_PATH = 20; // tracks of a path

export function makeMapView({ player, items }) {
  return async function map() {
    const data = await get("map");
    if (!data.ids.length) return [items.top("Map"), emptyState("map", "The map appears when a model has been published: `segue publish`.")];
    let from = null; // while a path is being chosen: "from" for its first track, then that track
    const hint = h("p", { class: "soft hint", role: "status" });
    const found = h("div", {});
    const getTrack = (id) => get(`tracks/${encodeURIComponent(id)}`);
    const drawing = drawMap(data, player, getTrack, (track) => {
      if (!from) player.play([{ track, reason: "from the map" }]);
      else if (from === "from") setFrom(track);
      else finish(track);
    });

    function setFrom(track) {
      from = track;
      hint.textContent = track === "from" ? "Choose the track that the path begins with." : `From “${track.title}”: choose the track that it ends with.`;
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
        found.replaceChildren(items.section(`From ${first.title} to ${track.title}`,
          h("div", { class: "tools" }, items.playAll(path.items),
            h("button", { type: "button", class: "pill ghost", onclick: () => makePlaylist(path.items, `${first.title} to ${track.title}`) }, icon("playlist"), "Save as a playlist"))),
        items.lines(path.items));
      } catch (problem) {
        toast(problem.message);
      }
    }
    const pathButton = h("button", { type: "button", class: "chip", "aria-pressed": "false", onclick: () => {
      if (from) return end();
      pathButton.setAttribute("aria-pressed", "true");
      setFrom(player.track && data.ids.includes(player.track.id) ? player.track : "from");
    } }, icon("map"), "Path from here to there");

    const legend = h("ul", { class: "legend", "aria-label": "Clusters" }, data.names.slice(0, N_LEGEND).map(({ cluster, name, tracks }) => {
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
      items.top("Map", h("span", { class: "soft count" }, plural(data.ids.length, "track"))),
      h("div", { class: "tools" }, pathButton, h("span", { class: "soft" }, "Neighbours sound similar; a click plays.")),
      hint, drawing.element, legend, found,
    ];
  };
}
