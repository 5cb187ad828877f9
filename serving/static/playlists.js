// Actions on playlists that any view offers: add tracks, make, rename, delete.

import { get, isOwn, post, put, remove } from "./api.js";
import { t } from "./strings.js";
import { ask, menu, toast } from "./ui.js";

const report = (problem) => toast(problem.message);
const path = (id) => `playlists/${encodeURIComponent(id)}`;
export const playlistAddress = (id) => `#/playlist/${encodeURIComponent(id)}`;

// The playlist that tracks were added to last, as long as the page is open: it has an entry of its own in the menus.
let last = null;
export const lastPlaylist = () => last;

async function addTo(playlist, tracks) {
  try {
    await post(`${path(playlist.id)}/tracks`, { tracks: tracks.map((track) => track.id) });
    last = playlist;
    toast(tracks.length === 1 ? t("playlist.added", { title: tracks[0].title, name: playlist.name })
      : t("playlist.addedMany", { count: tracks.length, name: playlist.name }));
  } catch (problem) {
    if (problem.status === 404) last = null; // it has been deleted
    report(problem);
  }
}
export const addToLast = (load) => load().then((tracks) => addTo(last, tracks), report);

// Make a playlist of tracks after asking for its name; return it, or null.
export async function makePlaylist(tracks, suggestion = "") {
  const name = await ask({ title: t("playlist.new"), label: t("playlist.name"), value: suggestion, action: t("playlist.create") });
  if (!name) return null;
  try {
    const made = await post("playlists", { name, tracks: tracks.map((track) => track.id) });
    last = made;
    toast(t(tracks.length ? "playlist.madeWith" : "playlist.made", { count: tracks.length, name }));
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
    menu(opener, [
      [t("playlist.newEntry"), "plus", () => makePlaylist(tracks)],
      ...playlists.filter(isOwn).map((playlist) => [playlist.name, "playlist", () => addTo(playlist, tracks)]),
    ]);
  } catch (problem) {
    report(problem);
  }
}

// Ask for a new name; return the changed playlist, or null.
export async function renamePlaylist(playlist) {
  const name = await ask({ title: t("playlist.renameTitle"), label: t("playlist.name"), value: playlist.name, action: t("playlist.rename") });
  if (!name || name === playlist.name) return null;
  const renamed = await put(path(playlist.id), { name }).catch((problem) => (report(problem), null));
  if (renamed && last?.id === renamed.id) last = renamed;
  return renamed;
}

// Let all users read a playlist, or its owner alone; return the changed playlist, or null.
export async function sharePlaylist(playlist, isPublic) {
  try {
    const changed = await put(path(playlist.id), { public: isPublic });
    toast(t(isPublic ? "playlist.shared" : "playlist.unshared", changed));
    return changed;
  } catch (problem) {
    report(problem);
    return null;
  }
}

// Delete after asking; return whether it is gone.
export async function deletePlaylist(playlist) {
  const answer = await ask({ title: t("playlist.deleteTitle", playlist), explanation: t("playlist.deleteNote"), action: t("playlist.delete") });
  if (answer === null) return false;
  if (last?.id === playlist.id) last = null;
  return remove(path(playlist.id)).then(() => true, (problem) => (report(problem), false));
}

export const getPlaylist = (id) => get(path(id));
export const setPlaylistTracks = (playlist, tracks) =>
  put(path(playlist.id), { tracks: tracks.map((track) => track.id), changed: playlist.changed });
