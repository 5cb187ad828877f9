// The frame of the page: the bar, what comes next, the addresses, the keyboard.

import { get, listenAs, live, post, send } from "./api.js";
import { Player } from "./player.js";
import { button, clock, cover, h, icon, nothing, say, toast } from "./ui.js";
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
    // It holds as long as the page.
  }
}
try {
  setTheme(localStorage.getItem("segue.theme") ?? "auto");
} catch {
  setTheme("auto");
}

// --- the bar and the sheet ---

const range = (label, act) => h("input", { type: "range", min: 0, max: 1000, value: 0, step: 1, "aria-label": label, oninput: act });
const controls = []; // of the bar and of the sheet alike

function makeControls() {
  const shared = {
    play: h("button", { type: "button", class: "big", onclick: () => player.toggle() }, icon("play")),
    previous: button("previous", "Previous", () => player.previous()),
    next: button("next", "Next", () => player.next()),
    shuffle: button("shuffle", "Shuffle", () => player.toggleShuffle()),
    repeat: button("repeat", "Repeat", () => player.cycleRepeat()),
    seek: range("Position", (event) => player.seek((event.target.value / 1000) * player.duration)),
    past: h("span", {}, "0:00"),
    whole: h("span", {}, "0:00"),
  };
  controls.push(shared);
  return shared;
}

function makeBar() {
  const c = makeControls();
  for (const each of [c.shuffle, c.repeat, c.previous]) each.classList.add("wide");
  const volume = range("Volume", (event) => player.setVolume(event.target.value / 1000));
  const mute = button("volume", "Mute", () => player.mute());
  const what = h("div", { class: "what" });
  byId("bar").append(what,
    h("div", { class: "middle" },
      h("div", { class: "keys" }, c.shuffle, c.previous, c.play, c.next, c.repeat),
      h("div", { class: "seek" }, c.past, c.seek, c.whole)),
    h("div", { class: "right" }, button("queue", "Now playing and queue", openSheet, { class: "icon phone" }), mute, volume));
  player.addEventListener("change", () => {
    mute.replaceChildren(icon(player.muted || !player.volume ? "muted" : "volume"));
    mute.setAttribute("aria-pressed", String(player.muted));
    volume.value = Math.round(player.volume * 1000);
    volume.style.setProperty("--part", `${player.muted ? 0 : player.volume * 100}%`);
    volume.setAttribute("aria-valuetext", `${Math.round(player.volume * 100)} %`);
  });
  const describe = () => {
    const { current, track } = player;
    if (!track) return what.replaceChildren(h("div", { class: "blank" }), h("div", { class: "words" }, h("b", {}, "Nothing playing"), h("span", {}, "Press play")));
    what.replaceChildren(
      h("button", { type: "button", class: "open", "aria-label": `Now playing: ${track.title} by ${track.artist}. Open`, onclick: openSheet },
        cover(track, 96, { loading: "eager" }), h("span", { class: "words" }, h("b", {}, track.title), h("span", {}, track.artist + (current.reason ? ` · ${current.reason}` : "")))),
      views.heart(track));
  };
  player.addEventListener("track", describe);
  describe();
}

let sheetFill;
function openSheet() {
  const sheet = byId("sheet");
  if (!player.track) return;
  if (!sheetFill) {
    const c = makeControls();
    const words = h("div", {});
    const side = h("div", { class: "end" });
    const front = h("img", { class: "front", alt: "", width: 600, height: 600 });
    const wash = h("img", { alt: "" });
    const list = h("div", {});
    sheet.append(h("div", { class: "wash" }, wash), h("div", { class: "inner" },
      h("div", { class: "keys" }, button("down", "Close", () => sheet.close()), h("span", { class: "soft" }, "Now playing"), h("span", { class: "icon" })),
      front, h("div", { class: "title" }, words, side),
      h("div", { class: "seek" }, c.past, c.seek, c.whole),
      h("div", { class: "play" }, c.shuffle, c.previous, c.play, c.next, c.repeat), list));
    sheetFill = () => {
      const { track, current } = player;
      if (!track) return;
      const big = cover(track, 600).src;
      if (front.src !== big) [front.src, wash.src] = [big, cover(track, 96).src];
      words.replaceChildren(h("h2", {}, track.title), h("a", { class: "soft", href: `#/artist/${track.artist_id}`, onclick: () => sheet.close() }, track.artist),
        current.reason ? h("div", { class: "why" }, current.reason) : "");
      side.replaceChildren(views.heart(track), views.more(track));
      list.replaceChildren(...nextBlocks(6));
    };
    for (const kind of ["track", "recommended", "change"]) player.addEventListener(kind, () => sheet.open && sheetFill());
  }
  sheetFill();
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
  const part = duration ? Math.min(1, position / duration) : 0;
  for (const c of controls) {
    c.past.textContent = clock(position);
    c.whole.textContent = clock(duration);
    c.seek.value = Math.round(part * 1000);
    c.seek.style.setProperty("--part", `${part * 100}%`);
    c.seek.setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
  }
}

// --- what comes next ---

let linked = true;
let shown = new Set();

function nextBlocks(most) {
  const ahead = player.ahead.slice(0, Math.min(most, 5));
  const suggestions = player.suggestions.slice(0, Math.max(4, most));
  const remove = (at) => button("x", "Take out of the queue", () => player.drop(player.at + 1 + at));
  const blocks = [];
  if (ahead.length)
    blocks.push(h("div", { class: "block" },
      h("div", { class: "top" }, h("h2", {}, player.radio ? player.radio.label.replace(/^./, (c) => c.toUpperCase()) : "Queue"), h("button", { type: "button", class: "link", onclick: () => player.clear() }, "Clear")),
      h("ol", { class: "lines" }, ahead.map((item, at) => views.line({ track: item.track, reason: "" }, () => player.jump(player.at + 1 + at), remove(at)))),
      player.ahead.length > ahead.length ? h("p", { class: "soft rest" }, `and ${player.ahead.length - ahead.length} more`) : null));
  blocks.push(h("div", { class: "block" },
    h("h2", {}, "Recommended next", h("span", { class: linked ? "live" : "live off", title: linked ? "changes while you listen" : "not connected" })),
    suggestions.length
      ? h("ol", { class: "lines recommended" }, suggestions.map((item) => views.line(item, () => player.play([item]))))
      : h("p", { class: "empty" }, "Play something, and good next tracks appear here.")));
  return blocks;
}

let drawing = 0;
function drawNext() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    const place = byId("next");
    const focused = place.contains(document.activeElement) && document.activeElement.closest("[data-track]")?.dataset.track;
    place.replaceChildren(...nextBlocks(8));
    const rows = [...place.querySelectorAll(".recommended .line")];
    if (shown.size) for (const row of rows) if (!shown.has(row.dataset.track)) row.classList.add("fresh");
    shown = new Set(rows.map((row) => row.dataset.track));
    if (focused) place.querySelector(`[data-track="${CSS.escape(focused)}"] button`)?.focus();
    for (const row of document.querySelectorAll("#main [data-track]")) row.classList.toggle("now", row.dataset.track === player.track?.id);
  });
}

// --- addresses ---

const PLACES = [["", "home", "Home"], ["map", "map", "Map"], ["liked", "heart", "Liked"], ["history", "clock", "History"], ["settings", "gear", "Settings"]];
byId("nav").append(...PLACES.map(([path, name, label]) => h("a", { href: `#/${path}` }, icon(name), h("span", {}, label))));

let turn = 0;
async function route(focus = true) {
  const [, name = "", ...rest] = location.hash.split("/");
  const view = views.routes[name] ?? views.routes[""];
  for (const link of byId("nav").children) link.toggleAttribute("aria-current", link.getAttribute("href") === `#/${name}`);
  for (const link of byId("nav").querySelectorAll("[aria-current]")) link.setAttribute("aria-current", "page");
  const mine = (turn += 1);
  const main = byId("main");
  let content;
  try {
    content = await view(decodeURIComponent(rest.join("/")));
  } catch (problem) {
    if (problem.status === 401) return logIn();
    const gone = problem.status === 404 || problem instanceof URIError; // or an address that none of our links has
    const again = h("button", { type: "button", class: "pill ghost", onclick: () => (gone ? (location.hash = "#/") : route()) }, gone ? "Home" : "Try again");
    content = [h("h1", {}, gone ? "Not there" : "That did not work"), nothing(gone ? "search" : "map", gone ? "It may have left the collection." : problem.message, again)];
  }
  if (mine !== turn) return;
  main.replaceChildren(...content.filter(Boolean));
  main.scrollTop = 0;
  if (focus && document.activeElement?.id !== "q") main.focus({ preventScroll: true });
}
addEventListener("hashchange", () => route());

let typing;
byId("q").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const words = event.target.value.trim();
    const address = words ? `#/search/${encodeURIComponent(words)}` : "#/search";
    if (location.hash.startsWith("#/search")) history.replaceState(null, "", address), route(false);
    else location.hash = address;
  }, 120);
});
byId("find").addEventListener("submit", (event) => event.preventDefault());

// --- keyboard ---

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typed = event.target.closest?.("input:not([type=range]), textarea, [role=menu], canvas");
  if (typed) return;
  const onButton = event.target.closest?.("button, a");
  const act = {
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
  if (act && act() !== false) event.preventDefault();
});

// --- what the server says ---

let mongo = true;
function notice() {
  const text = !linked
    ? "Segue does not answer just now. What is loaded plays on; your plays are kept and sent later."
    : !mongo
      ? "The recommendations are taking a break (MongoDB is away). Everything plays, with what was known last."
      : "";
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function listen() {
  live({
    recommendations: (found) => {
      if (found.items.length) player.recommend(found.items);
      const cards = byId("cards");
      if (cards && found.items.length && found.personal) {
        cards.replaceChildren(...found.items.slice(0, 12).map(views.card));
        cards.parentNode.querySelector("h2").textContent = "For you, now";
      }
    },
    state: (found) => {
      const back = found.mongo && !mongo;
      mongo = found.mongo;
      notice();
      if (back) get("recommendations").then((fresh) => player.recommend(fresh.items)).catch(() => {});
    },
    collection: () => route(false),
    link: (up) => {
      linked = up;
      notice();
      drawNext();
      if (up) send();
    },
  });
}

function logIn() {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const name = h("input", { name: "name", autocomplete: "username", autocapitalize: "none", required: true });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const box = h("div", { class: "login", role: "dialog", "aria-modal": "true", "aria-label": "Log in" }, h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await post("login", { name: name.value.trim(), password: password.value });
      location.reload();
    } catch (problem) {
      wrong.textContent = problem.status === 401 ? "Name and password do not go together." : problem.message;
    }
  } }, h("h1", { class: "brand" }, document.querySelector(".brand svg").cloneNode(true), "Segue"), h("label", {}, "Name", name), h("label", {}, "Password", password), wrong, h("button", { class: "pill" }, "Log in")));
  byId("app").inert = true;
  document.body.append(box);
  name.focus();
}

// --- begin ---

async function begin() {
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
    linked = false;
    notice();
    setTimeout(() => location.reload(), 4000);
    return;
  }
  listenAs(session.user);
  player.listenAs(session.user);
  player.addEventListener("track", () => (drawNext(), say(`Playing ${player.track.title} by ${player.track.artist}`)));
  mongo = session.mongo;
  notice();
  byId("foot").append(h("span", {}, `${session.tracks.toLocaleString("en")} tracks`), session.users ? h("span", {}, session.user) : "");
  listen();
  await route(false);
  if (!player.recommended.length) get("recommendations").then((found) => player.recommend(found.items)).catch(() => {});
  drawNext();
}
window.segue = player; // for the console, and for tests
begin();
