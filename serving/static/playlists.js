// Actions on playlists that any view offers: add tracks, make, rename, delete.

import { get, post, put, remove } from "./api.js";
import { ask, menu, plural, toast } from "./ui.js";

const report = (problem) => toast(problem.message);
const path = (id) => `playlists/${encodeURIComponent(id)}`;
export const playlistAddress = (id) => `#/playlist/${encodeURIComponent(id)}`;

// Make a playlist of tracks after asking for its name; return it, or null.
export async function makePlaylist(tracks, suggestion = "") {
  const name = await ask({ title: "New playlist", label: "Name", value: suggestion, action: "Create" });
  if (!name) return null;
  try {
    const made = await post("playlists", { name, tracks: tracks.map((track) => track.id) });
    toast(tracks.length ? `${plural(tracks.length, "track")} in “${name}”` : `“${name}” is there`);
    return made;
  } catch (problem) {
    report(problem);
    return null;
  }
}

// Open a menu beside a button: to which playlist are the tracks added?
export async function chooseAndAdd(opener, load) {
  try {
    const [playlists, tracks] = await Promise.all([get("playlists"), load()]);
    const add = async (playlist) => {
      await post(`${path(playlist.id)}/tracks`, { tracks: tracks.map((track) => track.id) }).then(() =>
        toast(`${tracks.length === 1 ? `“${tracks[0].title}”` : plural(tracks.length, "track")} added to “${playlist.name}”`), report);
    };
    menu(opener, [
      ["New playlist …", "plus", () => makePlaylist(tracks)],
      ...playlists.map((playlist) => [playlist.name, "playlist", () => add(playlist)]),
    ]);
  } catch (problem) {
    report(problem);
  }
}

// Ask for a new name; return the changed playlist, or null.
export async function renamePlaylist(playlist) {
  const name = await ask({ title: "Rename the playlist", label: "Name", value: playlist.name, action: "Rename" });
  if (!name || name === playlist.name) return null;
  return put(path(playlist.id), { name }).catch((problem) => (report(problem), null));
}

// Delete after asking; return whether it is gone.
export async function deletePlaylist(playlist) {
  const answer = await ask({ title: `Delete “${playlist.name}”?`, explanation: "Its tracks stay in your collection.", action: "Delete" });
  if (answer === null) return false;
  return remove(path(playlist.id)).then(() => true, (problem) => (report(problem), false));
}

export const getPlaylist = (id) => get(path(id));
export const setPlaylistTracks = (playlist, tracks) =>
  put(path(playlist.id), { tracks: tracks.map((track) => track.id), changed: playlist.changed });
