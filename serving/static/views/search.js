// The results of a search: artists, albums, playlists and tracks.

import { get } from "../api.js";
import { artistAddress } from "../items.js";
import { playlistAddress } from "../playlists.js";
import { cover, emptyState, h, icon, plural } from "../ui.js";
import { rowLayout, virtualList } from "../virtual.js";

const TRACK_HEIGHT = 60;
const FIRST_PAGE = 100;

export function makeSearchView({ items }) {
  const playlistLink = (playlist) => h("li", {}, h("a", { class: "chip", href: playlistAddress(playlist.id) }, icon("playlist"), playlist.name,
    h("small", {}, playlist.tracks)));

  const artistLink = (artist) => h("li", {}, h("a", { class: "chip artist", href: artistAddress(artist.id) }, cover({ album_id: artist.album_id }, 96), artist.name));

  return async function search(query) {
    const load = (offset, limit) => get("tracks", { q: query, offset, limit });
    const [found, first] = await Promise.all([query ? get("search", { q: query }) : null, load(0, FIRST_PAGE)]);
    const title = query ? `“${query}”` : "Your collection";
    const list = virtualList({ first, load, layout: rowLayout(TRACK_HEIGHT), label: "Tracks", className: "lines",
      render: (track, index) => items.line(track, () => items.playFrom(list, index, load)) });
    const groups = found ? [
      found.artists.length ? items.section("Artists", h("ul", { class: "chips" }, found.artists.map(artistLink))) : null,
      found.albums.length ? items.section("Albums", h("ul", { class: "cards one-row" }, found.albums.map((album) => items.albumCard(album)))) : null,
      found.playlists.length ? items.section("Playlists", h("ul", { class: "chips" }, found.playlists.map(playlistLink))) : null,
    ].filter(Boolean) : [];
    const isEmpty = !first.total && !groups.length;
    return [
      items.top(title, h("span", { class: "soft count" }, plural(first.total, "track"))),
      ...groups,
      groups.length && first.total ? h("h2", { class: "tracks" }, "Tracks") : null,
      isEmpty ? emptyState("search", "Nothing in the collection has words that begin with these.") : first.total ? list.element : null,
    ];
  };
}
