// The results of a search: artists, albums, playlists and tracks.

import { get } from "../api.js";
import { artistAddress } from "../items.js";
import { playlistAddress } from "../playlists.js";
import { t } from "../strings.js";
import { cover, emptyState, h, icon } from "../ui.js";
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
    const title = query ? t("search.results", { query }) : t("search.everything");
    const list = virtualList({ first, load, layout: rowLayout(TRACK_HEIGHT), label: t("page.tracks"), className: "lines",
      render: (track, index) => items.line(track, () => items.playFrom(list, index, load)) });
    const groups = found ? [
      found.artists.length ? items.section(t("page.artists"), h("ul", { class: "chips" }, found.artists.map(artistLink))) : null,
      found.albums.length ? items.section(t("page.albums"), h("ul", { class: "cards one-row" }, found.albums.map((album) => items.albumCard(album)))) : null,
      found.playlists.length ? items.section(t("page.playlists"), h("ul", { class: "chips" }, found.playlists.map(playlistLink))) : null,
    ].filter(Boolean) : [];
    const isEmpty = !first.total && !groups.length;
    return [
      items.top(title, h("span", { class: "soft count" }, t("count.tracks", { count: first.total }))),
      ...groups,
      groups.length && first.total ? h("h2", { class: "tracks" }, t("page.tracks")) : null,
      isEmpty ? emptyState("search", t("search.nothing")) : first.total ? list.element : null,
    ];
  };
}
