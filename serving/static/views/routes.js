// All views by the name in their address.

import { makeSettings } from "../settings.js";
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
  ["", "home", "Home"],
  ["library", "library", "Library", "narrow"],
  ["albums", "album", "Albums", "wide"],
  ["artists", "artist", "Artists", "wide"],
  ["tracks", "note", "Tracks", "wide"],
  ["genres", "tag", "Genres", "wide"],
  ["playlists", "playlist", "Playlists"],
  ["liked", "heart", "Liked"],
  ["history", "clock", "History", "wide"],
  ["map", "map", "Map"],
  ["settings", "gear", "Settings", "wide"],
];

export function makeRoutes(app) {
  const { albums, artists, tracks, genres, genre, library } = makeLibraryViews(app, PAGES);
  const { album, artist } = makeAlbumViews(app);
  const { playlists, playlist, mix } = makePlaylistViews(app);
  const { similar, liked, history } = makeListViews(app);
  return {
    "": { view: makeHomeView(app), title: "Home", skeleton: "cards" },
    library: { view: library, title: "Library" },
    albums: { view: albums, title: "Albums", skeleton: "cards" },
    artists: { view: artists, title: "Artists", skeleton: "cards" },
    tracks: { view: tracks, title: "Tracks" },
    genres: { view: genres, title: "Genres" },
    genre: { view: genre, skeleton: "cards", parent: "genres" },
    album: { view: album, skeleton: "page", parent: "albums" },
    artist: { view: artist, skeleton: "page", parent: "artists" },
    playlists: { view: playlists, title: "Playlists", skeleton: "cards" },
    playlist: { view: playlist, skeleton: "page", parent: "playlists" },
    mix: { view: mix, skeleton: "page", parent: "" },
    queue: { view: makeQueueView(app), title: "Queue" },
    search: { view: makeSearchView(app), title: "Search" },
    similar: { view: similar },
    liked: { view: liked, title: "Liked" },
    history: { view: history, title: "History" },
    map: { view: makeMapView(app), title: "Map" },
    settings: { view: makeSettings(app), title: "Settings" },
  };
}
