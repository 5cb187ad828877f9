// The page of an album, and that of an artist.

import { get, put } from "../api.js";
import { artistAddress, genreAddress } from "../items.js";
import { cover, formatLength, h, plural, toast } from "../ui.js";

export function makeAlbumViews({ player, items }) {
  const head = (picture, kind, title, facts, actions) =>
    h("header", { class: `head ${kind}` }, picture, h("div", { class: "words" }, h("h1", {}, title), facts, h("div", { class: "tools" }, actions)));

  function discs(album) {
    const byDisc = Map.groupBy(album.tracks, (track) => track.disc_no ?? 1);
    const row = (track) => {
      const index = album.tracks.indexOf(track);
      return items.numberedLine(track, track.track_no ?? index + 1, album.artist, () => player.play(album.tracks, index));
    };
    return [...byDisc].map(([disc, tracks]) => h("section", { class: "disc" },
      byDisc.size > 1 ? h("h2", {}, `Disc ${disc}`) : null,
      h("ol", { class: "lines" }, tracks.map(row))));
  }

  async function album(id) {
    const path = `albums/${encodeURIComponent(id)}`;
    const found = await get(path);
    const isPredicted = found.tracks.every((track) => track.genre_predicted || !track.genre);
    const facts = h("p", { class: "facts" },
      h("a", { class: "by", href: artistAddress(found.artist_id) }, found.artist),
      h("span", { class: "soft" }, [found.year, found.genre && h("a", { href: genreAddress(found.genre) }, found.genre), found.genre && isPredicted && "genre by its sound",
        plural(found.tracks.length, "track"), formatLength(found.duration_s)].filter(Boolean).flatMap((fact) => [" · ", fact]).slice(1)));
    return [
      head(cover({ album_id: id }, 600, { loading: "eager" }), "album", found.name, facts, [
        items.playAll(found.tracks), items.shuffleAll(found.tracks), items.radioPill(found.name, { album_id: id }),
        items.menuButton(found.name, () => items.groupEntries(async () => found.tracks)),
      ]),
      ...discs(found),
      items.lateSection("Sounds similar", get(`${path}/similar`, { limit: 6 }), "cards", (each) => items.albumCard(each)),
    ];
  }

  async function artist(id) {
    const path = `artists/${encodeURIComponent(id)}`;
    const found = await get(path);
    const facts = h("p", { class: "facts soft" }, `${plural(found.albums.length, "album")} · ${plural(found.tracks.length, "track")}`);
    const setBlocked = async (blocked) => {
      try {
        await put(`${path}/blocked`, { blocked });
        found.blocked = blocked;
        toast(blocked ? `${found.name} will not be played to you` : `${found.name} is played again`);
        if (blocked) player.removeUnwanted((track) => track.artist === found.name);
      } catch (problem) {
        toast(problem.message);
      }
    };
    return [
      head(cover({ album_id: (found.albums[0] ?? found.appears_on[0]).id }, 300, { loading: "eager" }), "artist", found.name, facts, [
        items.playAll(found.tracks), items.shuffleAll(found.tracks), items.radioPill(found.name, { artist_id: id }),
        items.menuButton(found.name, () => [...items.groupEntries(async () => found.tracks),
          found.blocked ? [`Play ${found.name} again`, "play", () => setBlocked(false)] : [`Don't play ${found.name}`, "x", () => setBlocked(true)]]),
      ]),
      items.section("Top tracks", items.lines(found.top)),
      found.albums.length ? items.section("Albums", h("ul", { class: "cards" }, found.albums.map((each) => items.albumCard(each, { note: [each.year, plural(each.tracks, "track")].filter(Boolean).join(" · ") })))) : null,
      found.appears_on.length ? items.section("Appears on", h("ul", { class: "cards" }, found.appears_on.map((each) => items.albumCard(each)))) : null,
      items.lateSection("Sounds similar", get(`${path}/similar`, { limit: 6 }), "cards", items.artistCard),
    ];
  }

  return { album, artist };
}
