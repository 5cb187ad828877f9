// The frame of the page: navigation, event stream, login.

import { forgetCollection, get, post, send, setUser, subscribe } from "./api.js";
import { makeBar } from "./bar.js";
import { makeItems } from "./items.js";
import { listenToKeys } from "./keyboard.js";
import { startOffline } from "./offline.js";
import { Player } from "./player.js";
import { makeRail } from "./rail.js";
import { makeRouter } from "./router.js";
import { t, translate } from "./strings.js";
import { announce, h, icon, toast } from "./ui.js";
import { PAGES, makeRoutes } from "./views/routes.js";

const byId = (id) => document.getElementById(id);
const session = { user: "", users: false, moods: [], genres: [], theme: setTheme };
const player = new Player();
const items = makeItems(player);
const rail = makeRail(player, items);
const events = new EventTarget(); // of the server, for the views: "recommendations", and "playlists" when some have changed
events.playlistChanges = 0; // so far: a view that was loading meanwhile sees that it is stale
const route = makeRouter(makeRoutes({ player, session, items, events }), {
  onShown: markLink, onRendered: rail.draw, onLogin: logIn,
});

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

// --- navigation ---

byId("nav").append(...PAGES.map(([path, name, label, className]) =>
  h("a", { href: `#/${path}`, class: className }, icon(name), h("span", {}, label))));

function markLink(name, argument) {
  // The field has the words of the results in sight, and none elsewhere.
  if (document.activeElement !== byId("q")) byId("q").value = name === "search" ? argument : "";
  for (const link of byId("nav").children) {
    const isLibrary = link.className === "narrow" && PAGES.some(([path, , , className]) => path === name && className === "wide");
    if (link.getAttribute("href") === `#/${name}` || isLibrary) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// --- the search field ---

const SEARCH_DELAY_MS = 120;
const isSearch = () => location.hash.startsWith("#/search");
let searchTimer;
byId("q").addEventListener("input", (event) => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => {
    const query = event.target.value.trim();
    const address = query ? `#/search/${encodeURIComponent(query)}` : "#/search";
    if (isSearch()) {
      history.replaceState(history.state, "", address);
      route({ focus: false, fromTop: true });
    } else location.hash = address;
  }, SEARCH_DELAY_MS);
});
// Enter and the arrow down lead to the first result, Escape out of the search.
byId("q").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    event.target.value = "";
    event.target.blur();
    if (isSearch()) history.back();
  } else if (event.key === "ArrowDown") byId("main").querySelector("li a, li button")?.focus();
  else return;
  event.preventDefault();
});
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("main").querySelector("li a, li button")?.focus();
});

// --- the event stream ---

let isConnected = true;
let hasMongo = true;
function updateNotice() {
  let text = "";
  if (!isConnected) text = t("frame.offline");
  else if (!hasMongo) text = t("frame.noMongo");
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function subscribeToEvents() {
  subscribe({
    recommendations: (list) => {
      if (list.items.length) player.recommend(list.items);
      events.dispatchEvent(new CustomEvent("recommendations", { detail: list }));
    },
    state: (state) => {
      const isBack = state.mongo && !hasMongo;
      hasMongo = state.mongo;
      updateNotice();
      if (isBack) get("recommendations").then((list) => player.recommend(list.items)).catch(() => {});
    },
    playlists: () => {
      events.playlistChanges += 1;
      events.dispatchEvent(new Event("playlists"));
    },
    collection: () => {
      forgetCollection();
      route({ focus: false, keepPlace: true });
    },
    link: (connected) => {
      isConnected = connected;
      updateNotice();
      rail.setConnected(connected);
      if (connected) send();
    },
  });
}

function logIn() {
  const message = h("p", { class: "wrong", role: "alert" });
  const name = h("input", { name: "name", autocomplete: "username", autocapitalize: "none", required: true });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const box = h("div", { class: "login", role: "dialog", "aria-modal": "true", "aria-label": t("login.action") }, h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await post("login", { name: name.value.trim(), password: password.value });
      location.reload();
    } catch (problem) {
      message.textContent = problem.status === 401 ? t("login.wrong") : problem.message;
    }
  } }, h("h1", { class: "brand" }, document.querySelector(".brand svg").cloneNode(true), "Segue"), h("label", {}, t("login.name"), name), h("label", {}, t("login.password"), password), message, h("button", { class: "pill" }, t("login.action"))));
  byId("app").inert = true;
  document.body.append(box);
  name.focus();
}

// --- start ---

async function start() {
  translate(document);
  makeBar(player, items, rail);
  listenToKeys(player, items);
  player.addEventListener("problem", (event) => toast(event.detail));
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
  player.addEventListener("track", () => announce(t("player.playing", player.track)));
  hasMongo = session.mongo;
  updateNotice();
  byId("foot").append(h("span", {}, t("count.tracks", { count: session.tracks })), session.users ? h("span", {}, session.user) : "");
  subscribeToEvents();
  await route({ focus: false });
  startOffline(session.user, player);
  if (!player.recommended.length) get("recommendations").then((list) => player.recommend(list.items)).catch(() => {});
  rail.draw();
}
window.segue = player; // for the console and the tests
start();
