// The views in the middle of the page: one function per address, which returns elements.

import { coverUrl, get, put } from "./api.js";
import { button, cover, emptyState, formatDuration, formatRelativeTime, h, icon, menu, toast } from "./ui.js";
import { drawMap } from "./map.js";
import { makeSettings } from "./settings.js";

export function makeViews(player, session) {
  const isNow = (track) => player.track?.id === track.id;

  // --- actions on a track ---

  async function rate(track, liked) {
    const previous = track.liked;
    const rating = track.liked === liked ? null : liked; // a second click withdraws the rating
    track.liked = rating;
    player.updateRating(track);
    try {
      Object.assign(track, await put(`tracks/${encodeURIComponent(track.id)}/rating`, { liked: rating }));
    } catch (problem) {
      track.liked = previous;
      toast(problem.message);
    }
    player.updateRating(track);
    if (track.liked === false) {
      player.removeUnwanted((other) => other.id === track.id);
      toast(`You will not hear ${track.title} again`);
      if (isNow(track)) player.next();
    }
    refreshRatings(track);
  }

  // Update every heart of this track on the page.
  function refreshRatings(track) {
    for (const heart of document.querySelectorAll(`[data-heart="${CSS.escape(track.id)}"]`)) {
      heart.setAttribute("aria-pressed", String(track.liked === true));
      heart.setAttribute("aria-label", `${track.liked ? "Remove the like of" : "Like"} ${track.title}`);
      heart.title = track.liked ? "Liked" : "Like";
    }
  }

  async function block(track) {
    try {
      await put(`artists/${track.artist_id}/blocked`, { blocked: true });
    } catch (problem) {
      return toast(problem.message);
    }
    player.removeUnwanted((other) => other.artist === track.artist);
    toast(`${track.artist} will not be played to you; unblock the artist in Settings`);
    if (player.track?.artist === track.artist) player.next();
  }

  const heart = (track) =>
    button("heart", `${track.liked ? "Remove the like of" : "Like"} ${track.title}`, () => rate(track, true), {
      "data-heart": track.id, "aria-pressed": String(track.liked === true), title: track.liked ? "Liked" : "Like",
    });

  const more = (track) => {
    const opener = button("more", `More for ${track.title}`, () => menu(opener, [
      ["Play next", "queue", () => (player.add(track, "next"), toast("Plays next"))],
      ["Add to the queue", "queue", () => (player.add(track), toast("Added to the queue"))],
      ["Similar tracks", "map", () => (location.hash = `#/similar/${encodeURIComponent(track.id)}`)],
      ["Radio from this", "radio", () => player.playRadio({ track_id: track.id }, `radio from ${track.title}`)],
      ["The artist", "search", () => (location.hash = `#/artist/${track.artist_id}`)],
      [track.liked === false ? "Remove the dislike" : "Dislike", "no", () => rate(track, false)],
      [`Don't play ${track.artist}`, "x", () => block(track)],
    ]), { "aria-haspopup": "menu" });
    return opener;
  };

  // --- elements that show tracks ---

  const art = (track, size, action) =>
    h("button", { type: "button", class: "art", onclick: action, "aria-label": `Play ${track.title} by ${track.artist}` },
      cover(track, size), h("span", { class: "go" }, icon("play")));

  function line(item, action, extra = null) {
    const track = item.track ?? item;
    return h("li", { class: isNow(track) ? "line now" : "line", "data-track": track.id },
      art(track, 96, action),
      h("div", { class: "text" },
        h("div", { class: "name" }, track.title),
        h("div", { class: "who" }, h("a", { href: `#/artist/${track.artist_id}` }, track.artist),
          track.album && track.album !== track.title ? [" · ", h("a", { href: `#/album/${track.album_id}` }, track.album)] : null),
        item.reason ? h("div", { class: "why" }, item.reason) : null),
      h("div", { class: "end" }, extra ?? h("span", { class: "time" }, formatDuration(track.duration_s)), heart(track), more(track)));
  }

  // A list that plays from the clicked track to its end.
  const lines = (items) => h("ol", { class: "lines" }, items.map((item, index) => line(item, () => player.play(items, index))));

  const card = (item) => {
    const { track, reason } = item;
    return h("li", { class: isNow(track) ? "card now" : "card", "data-track": track.id },
      art(track, 300, () => player.play([item])),
      h("div", { class: "name" }, track.title),
      h("div", { class: "who" }, h("a", { href: `#/artist/${track.artist_id}` }, track.artist)),
      reason ? h("div", { class: "why" }, reason) : null);
  };

  const top = (title, ...rest) => h("div", { class: "top" }, h("h1", {}, title), ...rest);
  const section = (title, ...rest) => h("section", {}, h("div", { class: "top" }, h("h2", {}, title)), ...rest);
  const playAll = (items, label = "Play") =>
    h("button", { type: "button", class: "pill", onclick: () => player.play(items) }, icon("play"), label);
  const radioChip = (label, seed, small) =>
    h("button", { type: "button", class: "chip", onclick: () => player.playRadio(seed, `${label} radio`) },
      icon("radio"), label, small ? h("small", {}, small) : null);

  // --- the views ---

  async function home() {
    const [defaultList, recommended] = await Promise.all([get("recommendations/default"), get("recommendations")]);
    if (!defaultList.items.length)
      return [top("Nothing to play yet"), emptyState("heart", "Fill the collection with `segue run --library FOLDER`; your music appears here when the run is done.")];
    player.recommend(recommended.items);
    const frontCovers = defaultList.items.slice(0, 3).reverse();
    const hour = new Date().getHours();
    const greeting = hour < 5 ? "Late tonight" : hour < 12 ? "Good morning" : hour < 18 ? "Good afternoon" : "Good evening";
    const personal = recommended.personal && recommended.items.length;
    return [
      h("section", { class: "hero", "aria-label": "Start here" },
        h("div", { class: "stack", "aria-hidden": "true" }, frontCovers.map(({ track }) => h("img", { src: coverUrl(track, 300), alt: "", width: 176, height: 176 }))),
        h("div", {},
          h("h1", {}, `${greeting}. Press play.`),
          h("p", {}, personal
            ? "The next tracks follow what you play, like and skip, while you listen."
            : "A selection from your whole collection. Play, skip, like: the next tracks follow."),
          h("div", { class: "row2" },
            h("button", { type: "button", class: "pill", id: "start", onclick: () => player.play((personal ? recommended : defaultList).items.slice(0, 1)) }, icon("play"), personal ? "Play for me" : "Play"),
            h("button", { type: "button", class: "pill ghost", onclick: () => player.playRadio({ track_id: defaultList.items[Math.floor(Math.random() * defaultList.items.length)].track.id }, "surprise radio") }, icon("shuffle"), "Surprise me")))),
      section(personal ? "For you, now" : "To start with", h("ul", { class: "cards", id: "cards" }, (personal ? recommended : defaultList).items.slice(0, 12).map(card))),
      section("By mood", h("div", { class: "chips" }, session.moods.map((mood) => radioChip(mood[0].toUpperCase() + mood.slice(1), { mood })))),
      session.genres.length ? section("By genre", h("div", { class: "chips" }, session.genres.slice(0, 24).map(({ name, tracks }) => radioChip(name, { genre: name }, tracks)))) : null,
      personal ? section("From your whole collection", h("ul", { class: "cards" }, defaultList.items.slice(0, 6).map(card))) : null,
    ];
  }

  async function search(query) {
    const page = await get("tracks", { q: query, limit: 60 });
    const count = page.total === 1 ? "1 track" : `${page.total.toLocaleString("en")} tracks`;
    const list = lines(page.items);
    const view = [top(query ? `“${query}”` : "Your collection", h("span", { class: "soft" }, count)), page.items.length ? list : emptyState("search", "No title, artist, album or genre has words that begin with these.")];
    if (page.total > page.items.length) {
      const rest = h("button", { type: "button", class: "pill ghost", onclick: async () => {
        const nextPage = await get("tracks", { q: query, limit: 100, offset: page.items.length });
        page.items.push(...nextPage.items);
        list.replaceChildren(...lines(page.items).children);
        if (page.items.length >= page.total || !nextPage.items.length) rest.remove();
      } }, "More");
      view.push(rest);
    }
    return view;
  }

  async function similar(id) {
    const [track, similarTracks] = await Promise.all([get(`tracks/${encodeURIComponent(id)}`), get(`tracks/${encodeURIComponent(id)}/similar`, { limit: 40 })]);
    return [top(`Like ${track.title}`), lines([{ track, reason: "the track you chose" }, ...similarTracks.items])];
  }

  async function artist(id) {
    const artistPage = await get(`artists/${encodeURIComponent(id)}`);
    return [top(artistPage.name, playAll(artistPage.tracks)), h("section", {}, h("div", { class: "chips" }, radioChip(`Radio from ${artistPage.name}`, { artist_id: id }))), lines(artistPage.tracks)];
  }

  async function album(id) {
    const albumPage = await get(`albums/${encodeURIComponent(id)}`);
    return [top(albumPage.name, playAll(albumPage.tracks)), h("p", { class: "soft" }, h("a", { href: `#/artist/${albumPage.artist_id}` }, albumPage.artist)), lines(albumPage.tracks)];
  }

  async function liked() {
    const likedTracks = await get("liked");
    return [top("Liked", likedTracks.items.length ? playAll(likedTracks.items) : null), likedTracks.items.length ? lines(likedTracks.items) : emptyState("heart", "Tracks that you like are listed here.")];
  }

  async function history() {
    const rows = await get("history", { limit: 100 });
    const descriptions = { finished: "played to the end", skipped: "skipped", started: "started" };
    const items = rows.map(({ track, event, at, position_s }) => ({ track, reason: `${formatRelativeTime(at)} · ${descriptions[event]}${event === "skipped" ? ` at ${formatDuration(position_s)}` : ""}` }));
    return [top("History"), rows.length ? h("ol", { class: "lines" }, items.map((item) => line(item, () => player.play([item.track])))) : emptyState("clock", "Tracks that you play are listed here.")];
  }

  async function map() {
    const mapData = await get("map");
    if (!mapData.ids.length) return [top("Map"), emptyState("map", "The map appears when a model has been published: `segue publish`.")];
    const view = drawMap(mapData, player, (id) => get(`tracks/${encodeURIComponent(id)}`));
    return [top("Map", h("span", { class: "soft" }, "neighbours sound similar; click to play")), view];
  }

  return { routes: { "": home, search, similar, artist, album, liked, history, map, settings: makeSettings(session) }, line, heart, more, card, rate };
}
