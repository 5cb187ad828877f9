// The first view: what to play now.

import { get, getCollection } from "../api.js";
import { sections, withOneReason } from "../reasons.js";
import { sayMix, sayReason } from "../server_words.js";
import { t } from "../strings.js";
import { cover, emptyState, h, icon, whileConnected } from "../ui.js";

const MAX_CARDS = 12;
const N_ALBUMS = 6;
const N_HISTORY = 60;

export function makeHomeView({ player, items, session, events }) {
  const { section, radioChip } = items;
  const cards = (list, attributes = {}) => h("ul", { class: "cards", ...attributes }, list.map(items.card));

  // The recommendations; the element changes while somebody listens.
  function forYou(list) {
    const title = list.personal && list.items.length ? t("home.forYou") : t("home.toStart");
    const [first, ...others] = sections(list.items, title, MAX_CARDS);
    const note = list.personal ? first.note : ""; // the title of the default list says as much
    return [
      h("section", {}, h("div", { class: "top" }, h("h2", {}, first.title), note ? h("span", { class: "soft" }, sayReason(note)) : null),
        cards(first.items, { id: "cards" })),
      ...others.map((other) => section(other.title, cards(other.items))),
    ];
  }

  const mixCard = (mix) => items.linkedCard("mix", `#/mix/${encodeURIComponent(mix.id)}`, mix.title, mix.comment,
    cover({ id: mix.cover }, 300), async () => (await get(`mixes/${encodeURIComponent(mix.id)}`)).items);

  // Albums of the latest plays, the latest first.
  async function recentAlbums() {
    const albums = new Map();
    for (const { track } of await get("history", { limit: N_HISTORY }))
      if (track.album) albums.set(track.album_id, albums.get(track.album_id) ?? { id: track.album_id, name: track.album, artist: track.artist, year: track.year });
    return [...albums.values()].slice(0, N_ALBUMS);
  }

  // A section of what is like the track that was liked last.
  function likeTheLastLiked() {
    const box = h("div", { class: "live-list" });
    get("liked").then(async ({ items: [liked] }) => {
      if (!liked) return;
      const similar = await get(`tracks/${encodeURIComponent(liked.id)}/similar`, { limit: N_ALBUMS });
      if (similar.items.length) box.append(section(t("home.because", liked), cards(withOneReason(similar.items))));
    }).catch(() => {}); // the view does without it
    return box;
  }

  function hero(personal, recommended, defaultList) {
    const hour = new Date().getHours();
    const greeting = hour < 5 ? "night" : hour < 12 ? "morning" : hour < 18 ? "afternoon" : "evening";
    const anyTrack = () => defaultList.items[Math.floor(Math.random() * defaultList.items.length)].track;
    const play = () => player.play((personal ? recommended : defaultList).items.slice(0, 1));
    return h("section", { class: "hero", "aria-label": t("home.start") },
      h("div", { class: "stack", "aria-hidden": "true" }, defaultList.items.slice(0, 3).reverse().map(({ track }) => cover(track, 300, { loading: "eager" }))),
      h("div", {},
        h("h1", {}, t(`greeting.${greeting}`)),
        h("p", {}, t(personal ? "home.personal" : "home.first")),
        h("div", { class: "row2" },
          h("button", { type: "button", class: "pill", id: "start", onclick: play }, icon("play"), t(personal ? "home.play" : "group.play")),
          h("button", { type: "button", class: "pill ghost", onclick: () => player.playRadio({ track_id: anyTrack().id }, t("home.surpriseRadio")) }, icon("shuffle"), t("home.surprise")))));
  }

  return async function home() {
    const [defaultList, recommended, mixes] = await Promise.all([
      get("recommendations/default"), get("recommendations"), get("mixes").catch(() => ({ items: [] })),
    ]);
    if (!defaultList.items.length)
      return [items.top(t("home.empty")), emptyState("heart", t("home.fill"))];
    player.recommend(recommended.items);
    const personal = recommended.personal && recommended.items.length > 0;
    const live = h("div", { class: "live-list" }, forYou(personal ? recommended : { ...defaultList, personal: false }));
    whileConnected(live, events, "recommendations", ({ detail }) => {
      if (detail.items.length && detail.personal) live.replaceChildren(...forYou(detail));
    });
    return [
      hero(personal, recommended, defaultList),
      live,
      items.lateSection(t("home.recent"), recentAlbums(), "cards", (album) => items.albumCard(album)),
      items.lateSection(t("home.new"), getCollection("albums", { sort: "added", limit: N_ALBUMS }).then((page) => page.items), "cards", (album) => items.albumCard(album)),
      mixes.items.length ? section(t("home.mixes"), h("ul", { class: "cards" }, mixes.items.map((mix) => mixCard(sayMix(mix))))) : null,
      likeTheLastLiked(),
      section(t("home.moods"), h("div", { class: "chips" }, session.moods.map((mood) => radioChip(t(`mood.${mood}`), { mood })))),
      session.genres.length ? section(t("home.genres"), h("div", { class: "chips" }, session.genres.slice(0, 24).map(({ name, tracks }) => radioChip(name, { genre: name }, tracks)))) : null,
      personal ? section(t("home.whole"), cards(withOneReason(defaultList.items.slice(0, N_ALBUMS)))) : null,
    ];
  };
}
