// The collection: lists of albums, artists, tracks and genres, the page of a genre, and links to all of them.

import { get, getCollection } from "../api.js";
import { genreAddress } from "../items.js";
import { t } from "../strings.js";
import { cover, emptyState, h, icon, toast } from "../ui.js";
import { gridLayout, rowLayout } from "../virtual.js";
import { browse } from "./browse.js";

const TRACK_HEIGHT = 60;
const CARD_TEXT_HEIGHT = 74; // two lines of text below a square cover, and the gap to the next row
const N_GENRE_ALBUMS = 12;
const N_GENRE_TRACKS = 20;
const N_SHUFFLED = 200;

export function makeLibraryViews({ player, items, session }, pages) {
  const genreNames = () => session.genres.map(({ name }) => name);

  const albums = (_, query) => browse({
    path: "albums", query, genres: genreNames(), className: "grid",
    sorts: ["name", "artist", "year", "added"],
    layout: gridLayout(158, CARD_TEXT_HEIGHT), render: (album) => items.albumCard(album),
  });

  const artists = (_, query) => browse({
    path: "artists", query, className: "grid",
    sorts: ["name", "tracks"],
    layout: gridLayout(148, CARD_TEXT_HEIGHT), render: (artist) => items.artistCard(artist),
  });

  const tracks = (_, query) => browse({
    path: "tracks", query, genres: genreNames(), hasRatings: true, className: "lines",
    sorts: ["title", "artist", "album", "year", "duration"],
    actions: [shuffleButton({})],
    layout: rowLayout(TRACK_HEIGHT),
    render: (track, index, list, load) => items.line(track, () => items.playFrom(list, index, load)),
  });

  const shuffleButton = (query) => h("button", { type: "button", class: "pill ghost", onclick: () =>
    get("tracks/random", { ...query, count: N_SHUFFLED }).then((answer) => player.play(answer.items), (problem) => toast(problem.message)) },
  icon("shuffle"), t("group.shuffle"));

  const genreCard = (genre) => h("li", {}, h("a", { class: "genre", href: genreAddress(genre.name) },
    h("span", { class: "mosaic", "aria-hidden": "true" }, genre.album_ids.slice(0, 3).map((album_id) => cover({ album_id }, 96))),
    h("span", { class: "words" }, h("b", {}, genre.name), h("span", { class: "soft" }, t("count.tracks", { count: genre.tracks })))));

  async function genres() {
    const found = await getCollection("genres");
    return [items.top(t("page.genres"), h("span", { class: "soft" }, t("count.genres", { count: found.length }))),
      found.length ? h("ul", { class: "genres" }, found.map(genreCard)) : emptyState("tag", t("browse.noGenres"))];
  }

  async function genre(name) {
    const [albumPage, trackPage] = await Promise.all([
      getCollection("albums", { genre: name, sort: "year", limit: N_GENRE_ALBUMS }),
      get("tracks", { genre: name, sort: "artist", limit: N_GENRE_TRACKS }),
    ]);
    if (!trackPage.total) return [items.top(name), emptyState("tag", t("browse.noSuchGenre"))];
    const all = (path, text) => h("a", { class: "link", href: `#/${path}?${new URLSearchParams({ genre: name })}` }, text);
    return [
      items.top(name),
      h("div", { class: "tools" }, shuffleButton({ genre: name }), items.radioPill(name, { genre: name })),
      h("section", {}, h("div", { class: "top" }, h("h2", {}, t("page.albums")), all("albums", t("browse.allAlbums", { count: albumPage.total }))),
        h("ul", { class: "cards" }, albumPage.items.map((album) => items.albumCard(album)))),
      h("section", {}, h("div", { class: "top" }, h("h2", {}, t("page.tracks")), all("tracks", t("browse.allTracks", { count: trackPage.total }))), items.lines(trackPage.items)),
    ];
  }

  // The navigation as a view, for phones.
  const library = async () => [items.top(t("page.library")),
    h("ul", { class: "doors" }, pages.filter(([path]) => !["", "library"].includes(path)).map(([path, name, label]) =>
      h("li", {}, h("a", { href: `#/${path}` }, icon(name), h("span", {}, label)))))];

  return { albums, artists, tracks, genres, genre, library };
}
