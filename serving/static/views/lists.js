// Lists of tracks: similar tracks, liked ones, the history.

import { get } from "../api.js";
import { emptyState, formatDuration, formatRelativeTime, h } from "../ui.js";

export function makeListViews({ player, items }) {
  const { top, lines, line, playAll } = items;

  async function similar(id) {
    const path = `tracks/${encodeURIComponent(id)}`;
    const [track, similarTracks] = await Promise.all([get(path), get(`${path}/similar`, { limit: 40 })]);
    return [top(`Like ${track.title}`), lines([{ track, reason: "the track you chose" }, ...similarTracks.items])];
  }

  async function liked() {
    const likedTracks = await get("liked");
    return [top("Liked", likedTracks.items.length ? playAll(likedTracks.items) : null),
      likedTracks.items.length ? lines(likedTracks.items) : emptyState("heart", "Tracks that you like are listed here.")];
  }

  async function history() {
    const rows = await get("history", { limit: 100 });
    const descriptions = { finished: "played to the end", skipped: "skipped", started: "started" };
    const described = rows.map(({ track, event, at, position_s }) => ({
      track, reason: `${formatRelativeTime(at)} · ${descriptions[event]}${event === "skipped" ? ` at ${formatDuration(position_s)}` : ""}`,
    }));
    return [top("History"), rows.length
      ? h("ol", { class: "lines" }, described.map((item) => line(item, () => player.play([item.track]))))
      : emptyState("clock", "Tracks that you play are listed here.")];
  }

  return { similar, liked, history };
}
