// The whole queue: what was played, what plays, what comes; moved by hand, saved as a playlist.

import { makePlaylist } from "../playlists.js";
import { sortableList } from "../sortable.js";
import { button, emptyState, formatLength, h, icon, plural, whileConnected } from "../ui.js";

export function makeQueueView({ player, items }) {
  return async function queue() {
    const box = h("div", {});
    const signature = () => `${player.index} ${player.queue.map((item) => item.track.id)}`;
    let visible = signature();

    const list = sortableList({
      items: player.queue, label: "Queue", nameOf: (item) => item.track.title,
      move: (from, to) => player.move(from, to),
      render: (item, index, handle) => {
        const row = items.line({ track: item.track, reason: "" }, () => player.jump(index),
          [handle, index === player.index ? h("span", { class: "icon" }) : button("x", `Remove ${item.track.title} from the queue`, () => player.removeAt(index))]);
        row.classList.toggle("past", index < player.index);
        row.classList.toggle("now", index === player.index);
        return row;
      },
    });

    function showHead() {
      const upcoming = player.upcoming;
      const length = upcoming.reduce((sum, { track }) => sum + track.duration_s, 0);
      const save = () => makePlaylist(player.queue.map((item) => item.track), player.radio?.label ?? "");
      box.replaceChildren(items.top("Queue", h("span", { class: "soft count" }, upcoming.length ? `${plural(upcoming.length, "track")} to come · ${formatLength(length)}` : "")),
        ...(player.queue.length ? [h("div", { class: "tools" },
          h("button", { type: "button", class: "pill ghost", onclick: save }, icon("playlist"), "Save as a playlist"),
          upcoming.length ? h("button", { type: "button", class: "pill ghost", onclick: () => player.clear() }, icon("x"), "Clear what comes") : null)]
          : [emptyState("queue", "Nothing in the queue. Play an album, a playlist or a radio, or add tracks from their menus.")]));
      list.element.hidden = !player.queue.length;
    }
    showHead();
    whileConnected(box, player, "change", () => {
      if (visible === signature()) return;
      visible = signature();
      list.setItems(player.queue);
      showHead();
    });
    return [box, list.element];
  };
}
