// The page of an album, and that of an artist.

import { get, put } from "../api.js";
import { artistAddress, genreAddress } from "../items.js";
import { t } from "../strings.js";
import { cover, formatLength, h, toast } from "../ui.js";

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
      byDisc.size > 1 ? h("h2", {}, t("album.disc", { number: disc })) : null,
      h("ol", { class: "lines" }, tracks.map(row))));
  }

  async function album(id) {
    const path = `albums/${encodeURIComponent(id)}`;
    const found = await get(path);
    const isPredicted = found.tracks.every((track) => track.genre_predicted || !track.genre);
    const facts = h("p", { class: "facts" },
      h("a", { class: "by", href: artistAddress(found.artist_id) }, found.artist),
      h("span", { class: "soft" }, [found.year, found.genre && h("a", { href: genreAddress(found.genre) }, found.genre), found.genre && isPredicted && t("album.genreBySound"),
        t("count.tracks", { count: found.tracks.length }), formatLength(found.duration_s)].filter(Boolean).flatMap((fact) => [" · ", fact]).slice(1)));
    return [
      head(cover({ album_id: id }, 600, { loading: "eager" }), "album", found.name, facts, [
        items.playAll(found.tracks), items.shuffleAll(found.tracks), items.radioPill(found.name, { album_id: id }),
        items.menuButton(found.name, () => items.groupEntries(async () => found.tracks)),
      ]),
      ...discs(found),
      items.lateSection(t("album.similar"), get(`${path}/similar`, { limit: 6 }), "cards", (each) => items.albumCard(each)),
    ];
  }

  async function artist(id) {
    const path = `artists/${encodeURIComponent(id)}`;
    const found = await get(path);
    const facts = h("p", { class: "facts soft" }, `${t("count.albums", { count: found.albums.length })} · ${t("count.tracks", { count: found.tracks.length })}`);
    const setBlocked = async (blocked) => {
      try {
        await put(`${path}/blocked`, { blocked });
        found.blocked = blocked;
        toast(t(blocked ? "artist.blocked" : "artist.unblocked", found));
        if (blocked) player.removeUnwanted((track) => track.artist === found.name);
      } catch (problem) {
        toast(problem.message);
      }
    };
    return [
      head(cover({ album_id: (found.albums[0] ?? found.appears_on[0]).id }, 300, { loading: "eager" }), "artist", found.name, facts, [
        items.playAll(found.tracks), items.shuffleAll(found.tracks), items.radioPill(found.name, { artist_id: id }),
        items.menuButton(found.name, () => [...items.groupEntries(async () => found.tracks),
          found.blocked ? [t("artist.unblock", found), "play", () => setBlocked(false)] : [t("artist.block", found), "x", () => setBlocked(true)]]),
      ]),
      items.section(t("artist.top"), items.lines(found.top)),
      found.albums.length ? items.section(t("page.albums"), h("ul", { class: "cards" }, found.albums.map((each) => items.albumCard(each, { note: [each.year, t("count.tracks", { count: each.tracks })].filter(Boolean).join(" · ") })))) : null,
      found.appears_on.length ? items.section(t("artist.appearsOn"), h("ul", { class: "cards" }, found.appears_on.map((each) => items.albumCard(each)))) : null,
      items.lateSection(t("album.similar"), get(`${path}/similar`, { limit: 6 }), "cards", items.artistCard),
    ];
  }

  return { album, artist };
}
