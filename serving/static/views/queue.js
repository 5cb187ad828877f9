// The whole queue: what was played, what plays, what comes; moved by hand, saved as a playlist.

import { makePlaylist } from "../playlists.js";
import { sortableList } from "../sortable.js";
import { t } from "../strings.js";
import { button, emptyState, formatLength, h, icon, whileConnected } from "../ui.js";

export function makeQueueView({ player, items }) {
  return async function queue() {
    const box = h("div", {});
    const signature = () => `${player.index} ${player.queue.map((item) => item.track.id)}`;
    let visible = signature();

    const list = sortableList({
      items: player.queue, label: t("page.queue"), nameOf: (item) => item.track.title,
      move: (from, to) => player.move(from, to),
      render: (item, index, handle) => {
        const row = items.line({ track: item.track, reason: "" }, () => player.jump(index),
          [handle, index === player.index ? h("span", { class: "icon" }) : button("x", t("queue.remove", item.track), () => player.removeAt(index))]);
        row.classList.toggle("past", index < player.index);
        row.classList.toggle("now", index === player.index);
        return row;
      },
    });

    function showHead() {
      const upcoming = player.upcoming;
      const length = upcoming.reduce((sum, { track }) => sum + track.duration_s, 0);
      const save = () => makePlaylist(player.queue.map((item) => item.track), player.radio?.label ?? "");
      box.replaceChildren(items.top(t("page.queue"), h("span", { class: "soft count" }, upcoming.length ? t("queue.toCome", { count: upcoming.length, length: formatLength(length) }) : "")),
        ...(player.queue.length ? [h("div", { class: "tools" },
          h("button", { type: "button", class: "pill ghost", onclick: save }, icon("playlist"), t("playlist.save")),
          upcoming.length ? h("button", { type: "button", class: "pill ghost", onclick: () => player.clear() }, icon("x"), t("queue.clearUpcoming")) : null)]
          : [emptyState("queue", t("queue.empty"))]));
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
