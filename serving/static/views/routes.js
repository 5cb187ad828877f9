// All views by the name in their address.

import { makeSettings } from "../settings.js";
import { t } from "../strings.js";
import { makeAlbumViews } from "./album.js";
import { makeHomeView } from "./home.js";
import { makeLibraryViews } from "./library.js";
import { makeListViews } from "./lists.js";
import { makeMapView } from "./map.js";
import { makePlaylistViews } from "./playlists.js";
import { makeQueueView } from "./queue.js";
import { makeSearchView } from "./search.js";

// The navigation: address, icon, label, and the class "wide" for what phones have under Library, "narrow" for that.
export const PAGES = [
  ["", "home", t("page.home")],
  ["library", "library", t("page.library"), "narrow"],
  ["albums", "album", t("page.albums"), "wide"],
  ["artists", "artist", t("page.artists"), "wide"],
  ["tracks", "note", t("page.tracks"), "wide"],
  ["genres", "tag", t("page.genres"), "wide"],
  ["playlists", "playlist", t("page.playlists")],
  ["liked", "heart", t("page.liked")],
  ["history", "clock", t("page.history"), "wide"],
  ["map", "map", t("page.map")],
  ["settings", "gear", t("page.settings"), "wide"],
];

export function makeRoutes(app) {
  const { albums, artists, tracks, genres, genre, library } = makeLibraryViews(app, PAGES);
  const { album, artist } = makeAlbumViews(app);
  const { playlists, playlist, mix } = makePlaylistViews(app);
  const { similar, liked, history } = makeListViews(app);
  return {
    "": { view: makeHomeView(app), title: t("page.home"), skeleton: "cards" },
    library: { view: library, title: t("page.library") },
    albums: { view: albums, title: t("page.albums"), skeleton: "cards" },
    artists: { view: artists, title: t("page.artists"), skeleton: "cards" },
    tracks: { view: tracks, title: t("page.tracks") },
    genres: { view: genres, title: t("page.genres") },
    genre: { view: genre, skeleton: "cards", parent: "genres" },
    album: { view: album, skeleton: "page", parent: "albums" },
    artist: { view: artist, skeleton: "page", parent: "artists" },
    playlists: { view: playlists, title: t("page.playlists"), skeleton: "cards" },
    playlist: { view: playlist, skeleton: "page", parent: "playlists" },
    mix: { view: mix, skeleton: "page", parent: "" },
    queue: { view: makeQueueView(app), title: t("page.queue") },
    search: { view: makeSearchView(app), title: t("page.search") },
    similar: { view: similar },
    liked: { view: liked, title: t("page.liked") },
    history: { view: history, title: t("page.history") },
    map: { view: makeMapView(app), title: t("page.map") },
    settings: { view: makeSettings(app), title: t("page.settings") },
  };
}
