// Lists of tracks: similar tracks, liked ones, the history.

import { get } from "../api.js";
import { t } from "../strings.js";
import { emptyState, formatDuration, formatRelativeTime, h } from "../ui.js";

export function makeListViews({ player, items }) {
  const { top, lines, line, playAll } = items;

  async function similar(id) {
    const path = `tracks/${encodeURIComponent(id)}`;
    const [track, similarTracks] = await Promise.all([get(path), get(`${path}/similar`, { limit: 40 })]);
    return [top(t("track.likeTitle", track)), lines([{ track, reason: t("track.chosen") }, ...similarTracks.items])];
  }

  async function liked() {
    const likedTracks = await get("liked");
    return [top(t("page.liked"), likedTracks.items.length ? playAll(likedTracks.items) : null),
      likedTracks.items.length ? lines(likedTracks.items) : emptyState("heart", t("liked.empty"))];
  }

  async function history() {
    const rows = await get("history", { limit: 100 });
    const described = rows.map(({ track, event, at, position_s }) => ({
      track, reason: t(`history.${event}`, { when: formatRelativeTime(at), position: formatDuration(position_s) }),
    }));
    return [top(t("page.history")), rows.length
      ? h("ol", { class: "lines" }, described.map((item) => line(item, () => player.play([item.track]))))
      : emptyState("clock", t("history.empty"))];
  }

  return { similar, liked, history };
}
