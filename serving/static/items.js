// Elements that show tracks, albums, artists and playlists, and the actions on them.

import { get, put } from "./api.js";
import { addToLast, chooseAndAdd, lastPlaylist } from "./playlists.js";
import { explain } from "./explanation.js";
import { sayReason } from "./server_words.js";
import { t } from "./strings.js";
import { button, cover, formatDuration, h, icon, menu, toast } from "./ui.js";

const MAX_QUEUED = 200; // tracks that a press on a row of a long list puts into the queue

export const albumAddress = (id) => `#/album/${encodeURIComponent(id)}`;
export const artistAddress = (id) => `#/artist/${encodeURIComponent(id)}`;
export const genreAddress = (name) => `#/genre/${encodeURIComponent(name)}`;

export function makeItems(player) {
  const isNow = (track) => player.track?.id === track.id;

  // --- actions on a track ---

  async function rate(track, liked) {
    const previous = track.liked;
    const rating = track.liked === liked ? null : liked; // a second click withdraws the rating
    track.liked = rating;
    player.updateRating(track);
    refreshRatings(track);
    try {
      Object.assign(track, await put(`tracks/${encodeURIComponent(track.id)}/rating`, { liked: rating }));
    } catch (problem) {
      track.liked = previous;
      toast(problem.message);
    }
    player.updateRating(track);
    if (track.liked === false) {
      player.removeUnwanted((other) => other.id === track.id);
      toast(t("track.disliked", track));
      if (isNow(track)) player.next();
    }
    refreshRatings(track);
  }

  // Update every heart of this track on the page.
  function refreshRatings(track) {
    for (const heart of document.querySelectorAll(`[data-heart="${CSS.escape(track.id)}"]`)) {
      heart.setAttribute("aria-pressed", String(track.liked === true));
      heart.setAttribute("aria-label", t(track.liked ? "track.unlike" : "track.like", track));
      heart.title = t(track.liked ? "track.liked" : "track.likeIt");
    }
  }

  async function block(track) {
    try {
      await put(`artists/${track.artist_id}/blocked`, { blocked: true });
    } catch (problem) {
      return toast(problem.message);
    }
    player.removeUnwanted((other) => other.artist === track.artist);
    toast(t("artist.blocked", { name: track.artist }));
    if (player.track?.artist === track.artist) player.next();
  }

  const heart = (track) =>
    button("heart", t(track.liked ? "track.unlike" : "track.like", track), () => rate(track, true), {
      "data-heart": track.id, "aria-pressed": String(track.liked === true), title: t(track.liked ? "track.liked" : "track.likeIt"),
    });

  // What can be done with tracks, whether of an album, an artist or a playlist; `load` gives a promise of them.
  const groupEntries = (load) => {
    const withTracks = (action) => () => load().then(action).catch((problem) => toast(problem.message));
    return [
      [t("group.playNext"), "next", withTracks((tracks) => (player.addAll(tracks, "next"), toast(t("group.playsNext"))))],
      [t("group.queue"), "queue", withTracks((tracks) => (player.addAll(tracks), toast(t("group.queued"))))],
      ...(lastPlaylist() ? [[t("group.addToLast", lastPlaylist()), "plus", () => addToLast(load)]] : []),
      [t("group.addToPlaylist"), "playlist", (opener) => chooseAndAdd(opener, load)],
    ];
  };

  const trackEntries = (track) => [
    ...groupEntries(async () => [track]),
    [t("track.download"), "down", () => download(track)],
    [t("track.similar"), "map", () => (location.hash = `#/similar/${encodeURIComponent(track.id)}`)],
    [t("track.radio"), "radio", () => player.playRadio({ track_id: track.id }, t("track.radioLabel", track))],
    [t("track.album"), "album", () => (location.hash = albumAddress(track.album_id))],
    [t("track.artist"), "artist", () => (location.hash = artistAddress(track.artist_id))],
    [t("track.why"), "question", () => explain(track, { rate, block })],
    [t(track.liked === false ? "track.unless" : "track.less"), "no", () => rate(track, false)],
    [t("artist.block", { name: track.artist }), "x", () => block(track)],
  ];

  function download(track) {
    const link = h("a", { href: `/api/tracks/${encodeURIComponent(track.id)}/audio?download=true`, download: "" });
    link.click();
  }

  const menuButton = (name, entries) => {
    const opener = button("more", t("group.more", { name }), () => menu(opener, entries()), { "aria-haspopup": "menu" });
    return opener;
  };
  const more = (track) => menuButton(track.title, () => trackEntries(track));
  const why = (track) => explain(track, { rate, block });

  // --- tracks ---

  const art = (track, size, action) =>
    h("button", { type: "button", class: "art", onclick: action, "aria-label": t("track.play", track) },
      cover(track, size), h("span", { class: "go" }, icon("play")));

  function line(item, action, extra = null) {
    const track = item.track ?? item;
    return h("li", { class: isNow(track) ? "line now" : "line", "data-track": track.id },
      art(track, 96, action),
      h("div", { class: "text" },
        h("div", { class: "name" }, track.title),
        h("div", { class: "who" }, h("a", { href: artistAddress(track.artist_id) }, track.artist),
          track.album && track.album !== track.title ? [" · ", h("a", { href: albumAddress(track.album_id) }, track.album)] : null),
        item.reason ? h("div", { class: "why" }, sayReason(item.reason)) : null),
      h("div", { class: "end" }, extra ?? h("span", { class: "time" }, formatDuration(track.duration_s)), heart(track), more(track)));
  }

  // A row of an album page: a number instead of the cover, the artist only where it is another than the album's.
  function numberedLine(track, number, albumArtist, action) {
    return h("li", { class: isNow(track) ? "line numbered now" : "line numbered", "data-track": track.id },
      h("button", { type: "button", class: "number", onclick: action, "aria-label": t("track.play", track) },
        h("span", { class: "digits" }, number), icon("play")),
      h("div", { class: "text" }, h("div", { class: "name" }, track.title),
        track.artist === albumArtist ? null : h("div", { class: "who" }, h("a", { href: artistAddress(track.artist_id) }, track.artist))),
      h("div", { class: "end" }, h("span", { class: "time" }, formatDuration(track.duration_s)), heart(track), more(track)));
  }

  // A list that plays from the clicked track to its end.
  const lines = (items) => h("ol", { class: "lines" }, items.map((item, index) => line(item, () => player.play(items, index))));

  // Play a long list from one of its tracks on: at once with what is loaded, then with what the server has after it.
  async function playFrom(list, index, load) {
    const loaded = [];
    while (loaded.length < MAX_QUEUED && list.items[index + loaded.length]) loaded.push(list.items[index + loaded.length]);
    player.play(loaded);
    const { startCount } = player;
    const missing = Math.min(MAX_QUEUED, list.total - index) - loaded.length;
    if (missing <= 0) return;
    const answer = await load(index + loaded.length, missing).catch(() => null);
    if (answer && startCount === player.startCount) player.addAll(answer.items);
  }

  const card = (item) => {
    const { track, reason } = item;
    return h("li", { class: isNow(track) ? "card now" : "card", "data-track": track.id },
      art(track, 300, () => player.play([{ track, reason: item.because ?? reason }])),
      more(track),
      h("div", { class: "name" }, track.title),
      h("div", { class: "who" }, h("a", { href: artistAddress(track.artist_id) }, track.artist)),
      reason ? h("div", { class: "why" }, sayReason(reason)) : null);
  };

  // --- albums, artists ---

  const albumTracks = async (id) => (await get(`albums/${encodeURIComponent(id)}`)).tracks;
  const artistTracks = async (id) => (await get(`artists/${encodeURIComponent(id)}`)).tracks;
  const playLoaded = (load) => load().then((tracks) => player.play(tracks)).catch((problem) => toast(problem.message));

  // The address is the one stop of the Tab key on a card; its play button is for pointers, the page it opens has another.
  const linkedCard = (className, address, name, note, picture, load) =>
    h("li", { class: `card ${className}` },
      h("a", { class: "art", href: address, "aria-label": note ? `${name}, ${note}` : name, draggable: "false" }, picture),
      h("button", { type: "button", class: "go", tabindex: -1, "aria-label": t("group.playNamed", { name }), onclick: () => playLoaded(load) }, icon("play")),
      h("div", { class: "name", "aria-hidden": "true" }, name),
      h("div", { class: "who", "aria-hidden": "true" }, note));

  const albumCard = (album, { note } = {}) =>
    linkedCard("album", albumAddress(album.id), album.name, note ?? [album.artist, album.year].filter(Boolean).join(" · "),
      cover({ album_id: album.id }, 300), () => albumTracks(album.id));

  const artistCard = (artist) =>
    linkedCard("round", artistAddress(artist.id), artist.name, t("count.albums", { count: artist.albums }),
      cover({ album_id: artist.album_id }, 300), () => artistTracks(artist.id));

  // --- parts of views ---

  const top = (title, ...rest) => h("div", { class: "top" }, h("h1", {}, title), ...rest);
  const section = (title, ...rest) => h("section", {}, h("div", { class: "top" }, h("h2", {}, title)), ...rest);
  // A section that is filled when its answer is there, and left out if there is nothing in it.
  function lateSection(title, answer, className, render) {
    const list = h("ul", { class: className });
    const element = section(title, list);
    element.hidden = true;
    answer.then((found) => {
      list.append(...found.map(render));
      element.hidden = !found.length;
    }, () => {});
    return element;
  }

  const playAll = (items, label = t("group.play")) =>
    h("button", { type: "button", class: "pill", onclick: () => player.play(items) }, icon("play"), label);
  const shuffleAll = (items) =>
    h("button", { type: "button", class: "pill ghost", onclick: () => player.playShuffled(items) }, icon("shuffle"), t("group.shuffle"));
  const radioChip = (label, seed, small) =>
    h("button", { type: "button", class: "chip", onclick: () => player.playRadio(seed, t("group.radioOf", { name: label })) },
      icon("radio"), label, small ? h("small", {}, small) : null);
  const radioPill = (name, seed) =>
    h("button", { type: "button", class: "pill ghost", onclick: () => player.playRadio(seed, t("group.radioOf", { name })) }, icon("radio"), t("group.radio"));

  return {
    rate, heart, more, why, menuButton, groupEntries, line, lines, numberedLine, playFrom, card, linkedCard, albumCard, artistCard,
    albumTracks, artistTracks, top, section, lateSection, playAll, shuffleAll, radioChip, radioPill,
  };
}
