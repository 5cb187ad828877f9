// Addresses of the page, `#/name/argument?parameters`: their views, and the place that each was scrolled to.

import { randomId } from "./api.js";
import { t } from "./strings.js";
import { cancelCovers, emptyState, h } from "./ui.js";

const SKELETON_DELAY_MS = 60; // an answer that comes sooner needs no skeleton
const STORAGE_KEY = "segue.scroll";
const MAX_PLACES = 100;

const main = document.getElementById("main");
let places = new Map(); // scroll positions by entry of the browser's history
try {
  places = new Map(JSON.parse(sessionStorage.getItem(STORAGE_KEY)));
} catch {
  // Without storage the positions are lost by a reload.
}
let routeCount = 0;
let current = ""; // the present entry

export function parseAddress(hash) {
  const [path, parameters = ""] = hash.split("?");
  const [, name = "", ...rest] = path.split("/");
  return { name, argument: decodeURIComponent(rest.join("/")), query: Object.fromEntries(new URLSearchParams(parameters)) };
}

// Change the parameters of the present address without a new entry in the browser's history.
export function setParameters(query) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const [path] = location.hash.split("?");
  history.replaceState(history.state, "", parameters.size ? `${path}?${parameters}` : path);
}

function remember() {
  places.delete(current);
  places.set(current, main.scrollTop);
  for (const key of [...places.keys()].slice(0, -MAX_PLACES)) places.delete(key);
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify([...places]));
  } catch {
    // Without storage the positions last as long as the page.
  }
}

const grey = (name, count) => Array.from({ length: count }, () => h("div", { class: name }, h("i", {}), h("i", {}), h("i", {})));
const SKELETONS = {
  cards: () => h("div", { class: "skeleton cards" }, grey("bone", 12)),
  lines: () => h("div", { class: "skeleton rows" }, grey("bone", 9)),
  page: () => [h("div", { class: "skeleton head" }, grey("bone", 1)), h("div", { class: "skeleton rows" }, grey("bone", 7))],
};

function showSkeleton({ title, skeleton = "lines" }) {
  main.setAttribute("aria-busy", "true");
  cancelCovers(main);
  main.replaceChildren(h("div", { class: "top" }, h("h1", {}, title ?? t("frame.loading"))), ...[SKELETONS[skeleton]()].flat());
  main.scrollTop = 0;
}

function problemView(problem, retry) {
  const isMissing = problem.status === 404 || problem instanceof URIError; // URIError: a malformed address
  const action = h("button", { type: "button", class: "pill ghost", onclick: () => (isMissing ? (location.hash = "#/") : retry()) },
    isMissing ? t("page.home") : t("frame.retry"));
  return [h("h1", {}, isMissing ? t("frame.notFound") : t("frame.failed")),
    emptyState(isMissing ? "search" : "map", isMissing ? t("frame.notInCollection") : problem.message, action)];
}

// Return a function that shows the view of the address.
//   routes: by name {view(argument, query), title, skeleton, parent: the link of the navigation that it belongs to}
//   onShown(name, argument): called when the address changes; onRendered(): when its view is in sight
//   onLogin(): when the session is over
export function makeRouter(routes, { onShown, onRendered, onLogin }) {
  async function route({ focus = true, keepPlace = false, fromTop = false } = {}) {
    const thisRoute = (routeCount += 1);
    const address = location.hash || "#/";
    const retry = () => route();
    let top = keepPlace ? main.scrollTop : 0;
    if (!history.state?.key) history.replaceState({ key: randomId() }, "");
    if (current && !keepPlace) remember();
    if (!keepPlace && !fromTop) top = places.get(history.state.key) ?? 0;
    current = history.state.key;
    let content;
    let timer = 0;
    try {
      const { name, argument, query } = parseAddress(address);
      const found = routes[name] ?? routes[""];
      onShown(found.parent ?? name, argument);
      if (!keepPlace) timer = setTimeout(() => thisRoute === routeCount && showSkeleton(found), SKELETON_DELAY_MS);
      content = await found.view(argument, query);
    } catch (problem) {
      if (problem.status === 401) return onLogin();
      content = problemView(problem, retry);
    } finally {
      clearTimeout(timer);
    }
    if (thisRoute !== routeCount) return; // another address has been opened meanwhile
    main.removeAttribute("aria-busy");
    cancelCovers(main);
    main.replaceChildren(...content.filter(Boolean));
    for (const list of main.querySelectorAll(".virtual")) list.dispatchEvent(new Event("mount"));
    main.scrollTop = top;
    main.dataset.address = address; // of the view in sight
    onRendered();
    if (focus && document.activeElement?.id !== "q") main.focus({ preventScroll: true });
  }
  history.scrollRestoration = "manual";
  addEventListener("hashchange", () => route());
  addEventListener("pagehide", remember);
  return route;
}
