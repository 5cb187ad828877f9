// The frame of the page: player bar, up-next panel, routing, keyboard, event stream, login.

import { get, post, send, setUser, subscribe } from "./api.js";
import { Player } from "./player.js";
import { announce, button, cover, emptyState, formatDuration, h, icon, toast } from "./ui.js";
import { makeViews } from "./views.js";

const byId = (id) => document.getElementById(id);
const session = { user: "", users: false, moods: [], genres: [], theme: setTheme };
const player = new Player();
const views = makeViews(player, session);

function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("segue.theme", name);
  } catch {
    // Without storage the theme lasts as long as the page.
  }
}
try {
  setTheme(localStorage.getItem("segue.theme") ?? "auto");
} catch {
  setTheme("auto");
}

// --- the player bar and the now-playing sheet ---

const range = (label, action) => h("input", { type: "range", min: 0, max: 1000, value: 0, step: 1, "aria-label": label, oninput: action });
const controls = []; // one set in the bar, one in the sheet

function makeControls() {
  const set = {
    play: h("button", { type: "button", class: "big", onclick: () => player.toggle() }, icon("play")),
    previous: button("previous", "Previous", () => player.previous()),
    next: button("next", "Next", () => player.next()),
    shuffle: button("shuffle", "Shuffle", () => player.toggleShuffle()),
    repeat: button("repeat", "Repeat", () => player.cycleRepeat()),
    seek: range("Position", (event) => player.seek((event.target.value / 1000) * player.duration)),
    elapsed: h("span", {}, "0:00"),
    total: h("span", {}, "0:00"),
  };
  controls.push(set);
  return set;
}

function makeBar() {
  const c = makeControls();
  for (const control of [c.shuffle, c.repeat, c.previous]) control.classList.add("wide");
  const volume = range("Volume", (event) => player.setVolume(event.target.value / 1000));
  const mute = button("volume", "Mute", () => player.mute());
  const current = h("div", { class: "current" });
  byId("bar").append(current,
    h("div", { class: "middle" },
      h("div", { class: "keys" }, c.shuffle, c.previous, c.play, c.next, c.repeat),
      h("div", { class: "seek" }, c.elapsed, c.seek, c.total)),
    h("div", { class: "right" }, button("queue", "Now playing and queue", openSheet, { class: "icon phone" }), mute, volume));
  player.addEventListener("change", () => {
    mute.replaceChildren(icon(player.muted || !player.volume ? "muted" : "volume"));
    mute.setAttribute("aria-pressed", String(player.muted));
    volume.value = Math.round(player.volume * 1000);
    volume.style.setProperty("--part", `${player.muted ? 0 : player.volume * 100}%`);
    volume.setAttribute("aria-valuetext", `${Math.round(player.volume * 100)} %`);
  });
  const showTrack = () => {
    const { track } = player;
    if (!track) return current.replaceChildren(h("div", { class: "blank" }), h("div", { class: "words" }, h("b", {}, "Nothing playing"), h("span", {}, "Press play")));
    const { reason } = player.current;
    current.replaceChildren(
      h("button", { type: "button", class: "open", "aria-label": `Now playing: ${track.title} by ${track.artist}. Open`, onclick: openSheet },
        cover(track, 96, { loading: "eager" }), h("span", { class: "words" }, h("b", {}, track.title), h("span", {}, track.artist + (reason ? ` · ${reason}` : "")))),
      views.heart(track));
  };
  player.addEventListener("track", showTrack);
  showTrack();
}

let fillSheet;
function openSheet() {
  const sheet = byId("sheet");
  if (!player.track) return;
  if (!fillSheet) {
    const c = makeControls();
    const words = h("div", {});
    const side = h("div", { class: "end" });
    const front = h("img", { class: "front", alt: "", width: 600, height: 600 });
    const wash = h("img", { alt: "" });
    const list = h("div", {});
    sheet.append(h("div", { class: "wash" }, wash), h("div", { class: "inner" },
      h("div", { class: "keys" }, button("down", "Close", () => sheet.close()), h("span", { class: "soft" }, "Now playing"), h("span", { class: "icon" })),
      front, h("div", { class: "title" }, words, side),
      h("div", { class: "seek" }, c.elapsed, c.seek, c.total),
      h("div", { class: "play" }, c.shuffle, c.previous, c.play, c.next, c.repeat), list));
    fillSheet = () => {
      const { track, current } = player;
      if (!track) return;
      const coverSource = cover(track, 600).src;
      if (front.src !== coverSource) {
        front.src = coverSource;
        wash.src = cover(track, 96).src;
      }
      words.replaceChildren(h("h2", {}, track.title), h("a", { class: "soft", href: `#/artist/${track.artist_id}`, onclick: () => sheet.close() }, track.artist),
        current.reason ? h("div", { class: "why" }, current.reason) : "");
      side.replaceChildren(views.heart(track), views.more(track));
      list.replaceChildren(...nextBlocks(6));
    };
    for (const type of ["track", "recommended", "change"]) player.addEventListener(type, () => sheet.open && fillSheet());
  }
  fillSheet();
  refresh();
  if (!sheet.open) sheet.showModal();
}

function refresh() {
  for (const c of controls) {
    c.play.replaceChildren(icon(player.playing ? "pause" : "play"));
    c.play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    c.shuffle.setAttribute("aria-pressed", String(player.shuffle));
    c.repeat.setAttribute("aria-pressed", String(player.repeat !== "off"));
    c.repeat.classList.toggle("one", player.repeat === "one");
    const label = { off: "Repeat: off", all: "Repeat: the queue", one: "Repeat: this track" }[player.repeat];
    c.repeat.setAttribute("aria-label", label);
    c.repeat.title = label;
  }
  document.title = player.track && player.playing ? `${player.track.title} · ${player.track.artist}` : "Segue";
  tick();
}

function tick() {
  const { position, duration } = player;
  const fraction = duration ? Math.min(1, position / duration) : 0;
  for (const c of controls) {
    c.elapsed.textContent = formatDuration(position);
    c.total.textContent = formatDuration(duration);
    c.seek.value = Math.round(fraction * 1000);
    c.seek.style.setProperty("--part", `${fraction * 100}%`);
    c.seek.setAttribute("aria-valuetext", `${formatDuration(position)} of ${formatDuration(duration)}`);
  }
}

// --- up next ---

let isConnected = true; // the event stream
let visibleIds = new Set(); // tracks in the list of recommendations

function nextBlocks(maxItems) {
  const upcoming = player.upcoming.slice(0, Math.min(maxItems, 5));
  const suggestions = player.suggestions.slice(0, Math.max(4, maxItems));
  const removeButton = (offset) => button("x", "Remove from the queue", () => player.removeAt(player.index + 1 + offset));
  const blocks = [];
  if (upcoming.length)
    blocks.push(h("div", { class: "block" },
      h("div", { class: "top" }, h("h2", {}, player.radio ? player.radio.label.replace(/^./, (c) => c.toUpperCase()) : "Queue"), h("button", { type: "button", class: "link", onclick: () => player.clear() }, "Clear")),
      h("ol", { class: "lines" }, upcoming.map((item, offset) => views.line({ track: item.track, reason: "" }, () => player.jump(player.index + 1 + offset), removeButton(offset)))),
      player.upcoming.length > upcoming.length ? h("p", { class: "soft rest" }, `and ${player.upcoming.length - upcoming.length} more`) : null));
  blocks.push(h("div", { class: "block" },
    h("h2", {}, "Recommended next", h("span", { class: isConnected ? "live" : "live off", title: isConnected ? "updated while you listen" : "not connected" })),
    suggestions.length
      ? h("ol", { class: "lines recommended" }, suggestions.map((item) => views.line(item, () => player.play([item]))))
      : h("p", { class: "empty" }, "Play a track, and recommendations appear here.")));
  return blocks;
}

let frameRequest = 0;
function drawNext() {
  cancelAnimationFrame(frameRequest);
  frameRequest = requestAnimationFrame(() => {
    const panel = byId("next");
    const focused = panel.contains(document.activeElement) && document.activeElement.closest("[data-track]")?.dataset.track;
    panel.replaceChildren(...nextBlocks(8));
    const rows = [...panel.querySelectorAll(".recommended .line")];
    if (visibleIds.size) for (const row of rows) if (!visibleIds.has(row.dataset.track)) row.classList.add("fresh");
    visibleIds = new Set(rows.map((row) => row.dataset.track));
    if (focused) panel.querySelector(`[data-track="${CSS.escape(focused)}"] button`)?.focus();
    for (const row of document.querySelectorAll("#main [data-track]")) row.classList.toggle("now", row.dataset.track === player.track?.id);
  });
}

// --- routing ---

const PAGES = [["", "home", "Home"], ["map", "map", "Map"], ["liked", "heart", "Liked"], ["history", "clock", "History"], ["settings", "gear", "Settings"]];
byId("nav").append(...PAGES.map(([path, name, label]) => h("a", { href: `#/${path}` }, icon(name), h("span", {}, label))));

let routeCount = 0;
// Show the view of the address.
async function route({ focus = true } = {}) {
  const [, name = "", ...rest] = location.hash.split("/");
  const view = views.routes[name] ?? views.routes[""];
  for (const link of byId("nav").children) link.toggleAttribute("aria-current", link.getAttribute("href") === `#/${name}`);
  for (const link of byId("nav").querySelectorAll("[aria-current]")) link.setAttribute("aria-current", "page");
  const thisRoute = (routeCount += 1);
  const main = byId("main");
  let content;
  try {
    content = await view(decodeURIComponent(rest.join("/")));
  } catch (problem) {
    if (problem.status === 401) return logIn();
    const isMissing = problem.status === 404 || problem instanceof URIError; // URIError: a malformed address
    const action = h("button", { type: "button", class: "pill ghost", onclick: () => (isMissing ? (location.hash = "#/") : route()) }, isMissing ? "Home" : "Try again");
    content = [h("h1", {}, isMissing ? "Not found" : "That did not work"), emptyState(isMissing ? "search" : "map", isMissing ? "It is not in the collection." : problem.message, action)];
  }
  if (thisRoute !== routeCount) return; // another address has been opened meanwhile
  main.replaceChildren(...content.filter(Boolean));
  main.scrollTop = 0;
  if (focus && document.activeElement?.id !== "q") main.focus({ preventScroll: true });
}
addEventListener("hashchange", () => route());

const SEARCH_DELAY_MS = 120;
let searchTimer;
byId("q").addEventListener("input", (event) => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => {
    const query = event.target.value.trim();
    const address = query ? `#/search/${encodeURIComponent(query)}` : "#/search";
    if (location.hash.startsWith("#/search")) {
      history.replaceState(null, "", address);
      route({ focus: false });
    } else location.hash = address;
  }, SEARCH_DELAY_MS);
});
byId("find").addEventListener("submit", (event) => event.preventDefault());

// --- keyboard ---

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.closest?.("input:not([type=range]), textarea, [role=menu], canvas");
  if (isTyping) return;
  const onButton = event.target.closest?.("button, a");
  const action = {
    " ": () => !onButton && player.toggle(),
    k: () => player.toggle(),
    n: () => player.next(),
    p: () => player.previous(),
    m: () => player.mute(),
    s: () => player.toggleShuffle(),
    r: () => player.cycleRepeat(),
    l: () => player.track && views.rate(player.track, true),
    "/": () => byId("q").focus(),
    ArrowRight: () => !event.target.closest("input") && player.seek(player.position + 5),
    ArrowLeft: () => !event.target.closest("input") && player.seek(player.position - 5),
  }[event.key];
  if (action && action() !== false) event.preventDefault();
});

// --- the event stream ---

let hasMongo = true;
function updateNotice() {
  let text = "";
  if (!isConnected) text = "Segue does not answer. Loaded tracks keep playing; your plays are stored here and sent later.";
  else if (!hasMongo) text = "Recommendations are not updated (MongoDB is unavailable). Everything plays, with the latest known ones.";
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function subscribeToEvents() {
  subscribe({
    recommendations: (list) => {
      if (list.items.length) player.recommend(list.items);
      const cards = byId("cards");
      if (cards && list.items.length && list.personal) {
        cards.replaceChildren(...list.items.slice(0, 12).map(views.card));
        cards.parentNode.querySelector("h2").textContent = "For you, now";
      }
    },
    state: (state) => {
      const isBack = state.mongo && !hasMongo;
      hasMongo = state.mongo;
      updateNotice();
      if (isBack) get("recommendations").then((list) => player.recommend(list.items)).catch(() => {});
    },
    collection: () => route({ focus: false }),
    link: (connected) => {
      isConnected = connected;
      updateNotice();
      drawNext();
      if (connected) send();
    },
  });
}

function logIn() {
  const message = h("p", { class: "wrong", role: "alert" });
  const name = h("input", { name: "name", autocomplete: "username", autocapitalize: "none", required: true });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const box = h("div", { class: "login", role: "dialog", "aria-modal": "true", "aria-label": "Log in" }, h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await post("login", { name: name.value.trim(), password: password.value });
      location.reload();
    } catch (problem) {
      message.textContent = problem.status === 401 ? "Wrong name or password." : problem.message;
    }
  } }, h("h1", { class: "brand" }, document.querySelector(".brand svg").cloneNode(true), "Segue"), h("label", {}, "Name", name), h("label", {}, "Password", password), message, h("button", { class: "pill" }, "Log in")));
  byId("app").inert = true;
  document.body.append(box);
  name.focus();
}

// --- start ---

async function start() {
  makeBar();
  player.addEventListener("change", refresh);
  player.addEventListener("change", drawNext);
  player.addEventListener("tick", tick);
  player.addEventListener("recommended", drawNext);
  player.addEventListener("problem", (event) => toast(event.detail));
  refresh();
  try {
    Object.assign(session, await get("state"));
  } catch (problem) {
    if (problem.status === 401) return logIn();
    isConnected = false;
    updateNotice();
    setTimeout(() => location.reload(), 4000);
    return;
  }
  setUser(session.user);
  player.setUser(session.user);
  player.addEventListener("track", () => {
    drawNext();
    announce(`Playing ${player.track.title} by ${player.track.artist}`);
  });
  hasMongo = session.mongo;
  updateNotice();
  byId("foot").append(h("span", {}, `${session.tracks.toLocaleString("en")} tracks`), session.users ? h("span", {}, session.user) : "");
  subscribeToEvents();
  await route({ focus: false });
  if (!player.recommended.length) get("recommendations").then((list) => player.recommend(list.items)).catch(() => {});
  drawNext();
}
window.segue = player; // for the console and the tests
start();
