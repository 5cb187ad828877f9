// User interface elements: DOM elements, icons, buttons, times, menus, messages.

import { coverUrl } from "./api.js";

// Create a DOM element: `on…` attributes are event listeners, false and null attributes and children are omitted.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  home: "M4 11.2 12 4l8 7.2V20h-5.4v-5.6H9.4V20H4z",
  search: "M10.5 4a6.5 6.5 0 1 0 4 11.6l4.7 4.7 1.4-1.4-4.7-4.7A6.5 6.5 0 0 0 10.5 4m0 2a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9",
  map: "M6 4a2.6 2.6 0 1 0 .01 0M17.5 6a2 2 0 1 0 .01 0M12 11a3.2 3.2 0 1 0 .01 0M5.5 16.4a1.9 1.9 0 1 0 .01 0M18.4 15a2.5 2.5 0 1 0 .01 0",
  heart: "M12 20.3 4.7 13a4.9 4.9 0 0 1 0-6.9 4.8 4.8 0 0 1 6.8 0l.5.5.5-.5a4.8 4.8 0 0 1 6.8 0 4.9 4.9 0 0 1 0 6.9z",
  clock: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17m0 2a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13M11 7.5v5.1l3.8 2.3 1-1.7-2.8-1.7V7.5z",
  play: "M7.5 4.6v14.8c0 .8.9 1.3 1.6.9l11.3-7.4a1.1 1.1 0 0 0 0-1.8L9.1 3.7c-.7-.4-1.6.1-1.6.9",
  pause: "M7 4.5h3.4v15H7zM13.6 4.5H17v15h-3.4z",
  next: "M5 5.3v13.4c0 .7.8 1.1 1.4.7L15 13.5v5h2.6v-13H15v5L6.4 4.6c-.6-.4-1.4 0-1.4.7",
  previous: "M19 5.3v13.4c0 .7-.8 1.1-1.4.7L9 13.5v5H6.4v-13H9v5l8.6-5.9c.6-.4 1.4 0 1.4.7",
  shuffle: "M16.6 3.6 21 8l-4.4 4.4V9.2h-1.3L8.6 17H3v-2.4h4.5l6.7-7.8h2.4zM3 6.8h5.6l2.2 2.6-1.6 1.8-1.7-2H3zM13.2 13.2l1.1 1.3h2.3v-3.1L21 15.8l-4.4 4.4V17h-3.4l-1.6-2z",
  repeat: "M7 6.5h9.5V3.8L21 7.6l-4.5 3.8V8.8H8.3v4H6V7.5a1 1 0 0 1 1-1M17 17.5H7.5v2.7L3 16.4l4.5-3.8v2.6h8.2v-4H18v5.3a1 1 0 0 1-1 1",
  volume: "M4 9.4v5.2h3.4l4.6 4V5.4l-4.6 4zM14.4 8.2v7.6a4.3 4.3 0 0 0 0-7.6M14.4 4.6v2.1a5.6 5.6 0 0 1 0 10.6v2.1a7.7 7.7 0 0 0 0-14.8",
  muted: "M4 9.4v5.2h3.4l4.6 4V5.4l-4.6 4zM15 9.4l1.5-1.5L18.6 10l2.1-2.1 1.5 1.5-2.1 2.1 2.1 2.1-1.5 1.5-2.1-2.1-2.1 2.1L15 13.6l2.1-2.1z",
  more: "M5.5 10a2 2 0 1 0 .01 0M12 10a2 2 0 1 0 .01 0M18.5 10a2 2 0 1 0 .01 0",
  down: "M12 15.8 5.2 9l1.6-1.6 5.2 5.2 5.2-5.2L18.8 9z",
  no: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17m0 2.1c1.4 0 2.7.4 3.8 1.2l-9 9A6.4 6.4 0 0 1 12 5.6m5.2 2.6a6.4 6.4 0 0 1-9 9z",
  radio: "M12 10a2 2 0 1 0 .01 0M7.8 7.8l1.4 1.4a4 4 0 0 0 0 5.6l-1.4 1.4a6 6 0 0 1 0-8.4m8.4 0a6 6 0 0 1 0 8.4l-1.4-1.4a4 4 0 0 0 0-5.6zM5 5l1.4 1.4a8 8 0 0 0 0 11.2L5 19A10 10 0 0 1 5 5m14 0a10 10 0 0 1 0 14l-1.4-1.4a8 8 0 0 0 0-11.2z",
  gear: "M4 6.5h9.2a2.9 2.9 0 0 1 5.6 0H20v2h-1.2a2.9 2.9 0 0 1-5.6 0H4zM4 15.5h1.2a2.9 2.9 0 0 1 5.6 0H20v2h-9.2a2.9 2.9 0 0 1-5.6 0H4z",
  queue: "M4 5.5h16v2H4zM4 10.8h16v2H4zM4 16h9v2H4z",
  x: "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
  sun: "M12 7.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M11 2h2v3h-2zM11 19h2v3h-2zM2 11h3v2H2zM19 11h3v2h-3zM4.2 5.6l1.4-1.4 2.1 2.1-1.4 1.4zM16.3 17.7l1.4-1.4 2.1 2.1-1.4 1.4zM4.2 18.4l2.1-2.1 1.4 1.4-2.1 2.1zM16.3 6.3l2.1-2.1 1.4 1.4-2.1 2.1z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

// The placeholder of an empty view; `text` between backticks is shown as a command.
export const emptyState = (iconName, text, ...actions) =>
  h("div", { class: "empty-state" },
    icon(iconName),
    h("p", { class: "empty" }, text.split("`").map((part, n) => (n % 2 ? h("code", {}, part) : part))),
    ...actions);

export const button = (iconName, label, action, attributes = {}) =>
  h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: action, ...attributes }, icon(iconName));

// Format seconds as m:ss or h:mm:ss.
export function formatDuration(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const rest = String(whole % 60).padStart(2, "0");
  return whole >= 3600
    ? `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")}:${rest}`
    : `${Math.floor(whole / 60)}:${rest}`;
}

// Format a time (ISO 8601) relative to now, such as "2 hours ago".
export function formatRelativeTime(text) {
  const seconds = (Date.now() - new Date(text)) / 1000;
  const units = [[86400 * 365, "year"], [86400 * 30, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [size, unit] of units) if (seconds >= size) return format.format(-Math.floor(seconds / size), unit);
  return "just now";
}

export const cover = (track, size, attributes = {}) =>
  h("img", { class: "cover", src: coverUrl(track, size), alt: "", width: size, height: size, loading: "lazy", decoding: "async", ...attributes });

const TOAST_MS = 4000;
let toastTimer;
// Show a message for a few seconds.
export function toast(text) {
  const element = document.getElementById("toast");
  element.textContent = text;
  element.classList.add("visible");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => element.classList.remove("visible"), TOAST_MS);
}

// Announce a text to screen readers.
export const announce = (text) => (document.getElementById("announcer").textContent = text);

// Open a menu of [label, icon, action] beside the button `opener`. Arrow keys move; Escape, Tab or a click elsewhere close it.
export function menu(opener, entries) {
  const element = document.getElementById("menu");
  const close = ({ restoreFocus }) => {
    element.hidden = true;
    element.replaceChildren();
    document.removeEventListener("pointerdown", closeOutside, true);
    if (restoreFocus) opener.focus();
  };
  const closeOutside = (event) => !element.contains(event.target) && close({ restoreFocus: false });
  const choose = (action) => {
    close({ restoreFocus: true });
    action();
  };
  element.replaceChildren(
    ...entries.map(([label, iconName, action]) =>
      h("button", { type: "button", role: "menuitem", onclick: () => choose(action) }, icon(iconName), h("span", {}, label))),
  );
  element.onkeydown = (event) => {
    const items = [...element.children];
    const index = items.indexOf(document.activeElement);
    const target = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close({ restoreFocus: true });
    else if (target !== undefined) items[(target + items.length) % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const parent = opener.closest("dialog[open]") ?? document.body;
  parent.append(element);
  element.hidden = false;
  const box = opener.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = element;
  element.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
  element.style.top = `${box.bottom + height + 8 > innerHeight ? Math.max(8, box.top - height - 6) : box.bottom + 6}px`;
  document.addEventListener("pointerdown", closeOutside, true);
  element.firstChild.focus();
}
