// What stands in the middle of the page: a function for each address, which returns elements.

import { coverUrl, get, put } from "./api.js";
import { ago, button, clock, cover, h, icon, menu, nothing, toast } from "./ui.js";
import { drawMap } from "./map.js";
import { makeSettings } from "./settings.js";

export function makeViews(player, session) {
  const isNow = (track) => player.track?.id === track.id;

  // --- what can be done with a track ---

  async function rate(track, liked) {
    const before = track.liked;
    const wanted = track.liked === liked ? null : liked;
    track.liked = wanted;
    player.rated(track);
    try {
      Object.assign(track, await put(`tracks/${encodeURIComponent(track.id)}/rating`, { liked: wanted }));
    } catch (problem) {
      track.liked = before;
      toast(problem.message);
    }
    player.rated(track);
    if (track.liked === false) {
      player.forget((other) => other.id === track.id);
      toast(`You will not hear ${track.title} again`);
      if (isNow(track)) player.next();
    }
    refreshRatings(track);
  }

  // Wherever on the page the track's heart is.
  function refreshRatings(track) {
    for (const heart of document.querySelectorAll(`[data-heart="${CSS.escape(track.id)}"]`)) {
      heart.setAttribute("aria-pressed", String(track.liked === true));
      heart.setAttribute("aria-label", `${track.liked ? "Take back the like of" : "Like"} ${track.title}`);
      heart.title = track.liked ? "Liked" : "Like";
    }
  }

  async function block(track) {
    try {
      await put(`artists/${track.artist_id}/blocked`, { blocked: true });
    } catch (problem) {
      return toast(problem.message);
    }
    player.forget((other) => other.artist === track.artist);
    toast(`${track.artist} will not be played to you; take it back in Settings`);
    if (player.track?.artist === track.artist) player.next();
  }

  const heart = (track) =>
    button("heart", `${track.liked ? "Take back the like of" : "Like"} ${track.title}`, () => rate(track, true), {
      "data-heart": track.id, "aria-pressed": String(track.liked === true), title: track.liked ? "Liked" : "Like",
    });

  const more = (track) => {
    const opener = button("more", `More for ${track.title}`, () => menu(opener, [
      ["Play next", "queue", () => (player.add(track, "next"), toast("Plays next"))],
      ["Add to the queue", "queue", () => (player.add(track), toast("Added to the queue"))],
      ["What sounds like this", "map", () => (location.hash = `#/similar/${encodeURIComponent(track.id)}`)],
      ["Radio from this", "radio", () => player.playRadio({ track_id: track.id }, `radio from ${track.title}`)],
      ["The artist", "search", () => (location.hash = `#/artist/${track.artist_id}`)],
      [track.liked === false ? "Take back the dislike" : "Dislike", "no", () => rate(track, false)],
      [`Don't play ${track.artist}`, "x", () => block(track)],
    ]), { "aria-haspopup": "menu" });
    return opener;
  };

  // --- how tracks are shown ---

  const art = (track, size, act) =>
    h("button", { type: "button", class: "art", onclick: act, "aria-label": `Play ${track.title} by ${track.artist}` },
      cover(track, size), h("span", { class: "go" }, icon("play")));

  function line(item, act, extra = null) {
    const track = item.track ?? item;
    return h("li", { class: isNow(track) ? "line now" : "line", "data-track": track.id },
      art(track, 96, act),
      h("div", { class: "text" },
        h("div", { class: "name" }, track.title),
        h("div", { class: "who" }, h("a", { href: `#/artist/${track.artist_id}` }, track.artist),
          track.album && track.album !== track.title ? [" · ", h("a", { href: `#/album/${track.album_id}` }, track.album)] : null),
        item.reason ? h("div", { class: "why" }, item.reason) : null),
      h("div", { class: "end" }, extra ?? h("span", { class: "time" }, clock(track.duration_s)), heart(track), more(track)));
  }

  // A list that plays on from where it is clicked.
  const lines = (items) => h("ol", { class: "lines" }, items.map((item, at) => line(item, () => player.play(items, at))));

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
    const [curated, recommended] = await Promise.all([get("curated"), get("recommendations")]);
    if (!curated.items.length)
      return [top("Nothing to play yet"), nothing("heart", "Fill the collection with `segue run --library FOLDER`; this page shows your music as soon as it is there.")];
    player.recommend(recommended.items);
    const fan = curated.items.slice(0, 3).reverse();
    const hour = new Date().getHours();
    const greeting = hour < 5 ? "Late tonight" : hour < 12 ? "Good morning" : hour < 18 ? "Good afternoon" : "Good evening";
    const personal = recommended.personal && recommended.items.length;
    return [
      h("section", { class: "hero", "aria-label": "Start here" },
        h("div", { class: "stack", "aria-hidden": "true" }, fan.map(({ track }) => h("img", { src: coverUrl(track, 300), alt: "", width: 176, height: 176 }))),
        h("div", {},
          h("h1", {}, `${greeting}. Press play.`),
          h("p", {}, personal
            ? "What comes next follows what you listen to, like and skip, while you do."
            : "A start across your collection. Play, skip, like: what comes next follows you."),
          h("div", { class: "row2" },
            h("button", { type: "button", class: "pill", id: "start", onclick: () => player.play((personal ? recommended : curated).items.slice(0, 1)) }, icon("play"), personal ? "Play for me" : "Play"),
            h("button", { type: "button", class: "pill ghost", onclick: () => player.playRadio({ track_id: curated.items[Math.floor(Math.random() * curated.items.length)].track.id }, "surprise radio") }, icon("shuffle"), "Surprise me")))),
      section(personal ? "For you, now" : "To begin with", h("ul", { class: "cards", id: "cards" }, (personal ? recommended : curated).items.slice(0, 12).map(card))),
      section("By mood", h("div", { class: "chips" }, session.moods.map((mood) => radioChip(mood[0].toUpperCase() + mood.slice(1), { mood })))),
      session.genres.length ? section("By genre", h("div", { class: "chips" }, session.genres.slice(0, 24).map(({ name, tracks }) => radioChip(name, { genre: name }, tracks)))) : null,
      personal ? section("A start across your collection", h("ul", { class: "cards" }, curated.items.slice(0, 6).map(card))) : null,
    ];
  }

  async function search(query) {
    const found = await get("tracks", { q: query, limit: 60 });
    const count = found.total === 1 ? "1 track" : `${found.total.toLocaleString("en")} tracks`;
    const list = lines(found.items);
    const view = [top(query ? `“${query}”` : "Your collection", h("span", { class: "soft" }, count)), found.items.length ? list : nothing("search", "Nothing begins with these words in title, artist, album or genre.")];
    if (found.total > found.items.length) {
      const rest = h("button", { type: "button", class: "pill ghost", onclick: async () => {
        const page = await get("tracks", { q: query, limit: 100, offset: found.items.length });
        found.items.push(...page.items);
        list.replaceChildren(...lines(found.items).children);
        if (found.items.length >= found.total || !page.items.length) rest.remove();
      } }, "More");
      view.push(rest);
    }
    return view;
  }

  async function similar(id) {
    const [track, found] = await Promise.all([get(`tracks/${encodeURIComponent(id)}`), get(`tracks/${encodeURIComponent(id)}/similar`, { limit: 40 })]);
    return [top(`Like ${track.title}`), lines([{ track, reason: "where this starts" }, ...found.items])];
  }

  async function artist(id) {
    const found = await get(`artists/${encodeURIComponent(id)}`);
    return [top(found.name, playAll(found.tracks)), h("section", {}, h("div", { class: "chips" }, radioChip(`Radio from ${found.name}`, { artist_id: id }))), lines(found.tracks)];
  }

  async function album(id) {
    const found = await get(`albums/${encodeURIComponent(id)}`);
    return [top(found.name, playAll(found.tracks)), h("p", { class: "soft" }, h("a", { href: `#/artist/${found.artist_id}` }, found.artist)), lines(found.tracks)];
  }

  async function liked() {
    const found = await get("liked");
    return [top("Liked", found.items.length ? playAll(found.items) : null), found.items.length ? lines(found.items) : nothing("heart", "Press the heart of a track, and it is here.")];
  }

  async function history() {
    const rows = await get("history", { limit: 100 });
    const words = { finished: "played to the end", skipped: "skipped", started: "began" };
    const items = rows.map(({ track, event, at, position_s }) => ({ track, reason: `${ago(at)} · ${words[event]}${event === "skipped" ? ` at ${clock(position_s)}` : ""}` }));
    return [top("History"), rows.length ? h("ol", { class: "lines" }, items.map((item) => line(item, () => player.play([item.track])))) : nothing("clock", "What you play is listed here.")];
  }

  async function map() {
    const found = await get("map");
    if (!found.ids.length) return [top("Map"), nothing("map", "The map is drawn when a model has been published: `segue publish`.")];
    const view = drawMap(found, player, (id) => get(`tracks/${encodeURIComponent(id)}`));
    return [top("Map", h("span", { class: "soft" }, "near is alike; click to play")), view];
  }

  return { routes: { "": home, search, similar, artist, album, liked, history, map, settings: makeSettings(session) }, line, heart, more, card, rate };
}
