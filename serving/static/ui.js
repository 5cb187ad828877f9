// User interface elements: DOM elements, icons, buttons, times, menus, messages.

import { coverUrl } from "./api.js";
import { language, t } from "./strings.js";

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
  album: "M12 3.2a8.8 8.8 0 1 0 0 17.6 8.8 8.8 0 0 0 0-17.6m0 2a6.8 6.8 0 1 1 0 13.6 6.8 6.8 0 0 1 0-13.6m0 4.3a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
  artist: "M12 3.5a4.4 4.4 0 1 0 0 8.8 4.4 4.4 0 0 0 0-8.8m0 2a2.4 2.4 0 1 1 0 4.8 2.4 2.4 0 0 1 0-4.8M4 20.5c0-4 3.4-6.6 8-6.6s8 2.6 8 6.6h-2c0-2.8-2.5-4.6-6-4.6s-6 1.8-6 4.6z",
  note: "M9 4.2 20 2.5v13.2a3.3 3.3 0 1 1-2-3V7.3l-7 1.1v9.1a3.3 3.3 0 1 1-2-3z",
  tag: "M3.5 4.5h8.2l8.9 8.9-7.6 7.6-9.5-9zM5.5 6.5v4.7l7.5 7 4.8-4.8-6.9-6.9zM8.2 7.7a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3",
  playlist: "M3.5 5.5h12v2h-12zm0 4.8h12v2h-12zm0 4.7h7v2h-7zm9.5-.6 7.5 4.3-7.5 4.3z",
  library: "M3.5 4h2.4v16H3.5zM8 4h2.4v16H8zm5.2.6 2.3-.7 5 15.3-2.3.7z",
  reverse: "M7 4h2v12.2l2.3-2.3 1.4 1.4L8 20l-4.7-4.7 1.4-1.4L7 16.2zM15 20V7.8l-2.3 2.3-1.4-1.4L16 4l4.7 4.7-1.4 1.4L17 7.8V20z",
  handle: "M8 5h3v3H8zM13 5h3v3h-3zM8 10.5h3v3H8zM13 10.5h3v3h-3zM8 16h3v3H8zM13 16h3v3h-3z",
  moon: "M10.5 3.6a8.6 8.6 0 1 0 10 11.6 7.5 7.5 0 0 1-10-11.6M8 6.800a9.5 9.5 0 0 0 9.200 10.5A6.6 6.6 0 1 1 8 6.800",
  edit: "M15.6 3.800 20.200 8.400 9 19.6 3.5 20.5 4.400 15zM15.6 6.6 6.300 15.900 5.900 18.100 8.100 17.700 17.400 8.400z",
  trash: "M9 3h6l1 2h4v2H4V5h4zM6 8.5h12L17 21H7zM8.200 10.5 8.800 19h6.400l.6-8.5z",
  lyrics: "M4 4h16v12h-8.2L7 20.2V16H4zm2 2v8h3v2l2.2-2H18V6zm2 2h8v1.7H8zm0 3h5.5v1.7H8z",
  question: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17m0 2a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13M11 15.200h2v2h-2zM8.700 9.600h2a1.300 1.300 0 1 1 2.100 1.100c-1 .7-1.800 1.500-1.800 3.100h2c0-.8.5-1.200 1.200-1.700A3.300 3.300 0 1 0 8.700 9.600",
  plus: "M11 4.5h2V11h6.5v2H13v6.5h-2V13H4.5v-2H11z",
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
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [size, unit] of units) if (seconds >= size) return format.format(-Math.floor(seconds / size), unit);
  return t("frame.justNow");
}

// Format seconds as "3 hours 5 minutes" or "41 minutes", for the length of an album or a playlist.
export function formatLength(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  const hours = Math.floor(minutes / 60);
  return [hours && t("count.hours", { count: hours }), (minutes % 60 || !hours) && t("count.minutes", { count: minutes % 60 })].filter(Boolean).join(" ");
}

// The cover of a track's album. Until it is loaded the album's own colours are in its place.
export function cover({ album_id, id }, size, attributes = {}) {
  const image = h("img", { class: "cover", alt: "", width: size, height: size, loading: "lazy", decoding: "async", fetchpriority: "low", ...attributes });
  const hue = Number.parseInt((album_id ?? id).slice(3, 7), 16) % 360 || 0;
  image.style.background = `linear-gradient(135deg, hsl(${hue} 38% 42%), hsl(${(hue + 50) % 360} 42% 30%))`;
  image.src = coverUrl({ album_id, id }, size);
  return image;
}

// Give up the covers of an element that are not loaded yet: the browser asks for six things at a time.
export function cancelCovers(element) {
  for (const image of element.querySelectorAll("img")) if (!image.complete) image.removeAttribute("src");
}

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
    action(opener);
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

// Call a handler of an event as long as an element is in the document, from the moment it is put there.
export function whileConnected(element, target, type, handler) {
  let wasConnected = false;
  const listener = (event) => {
    if (element.isConnected) {
      wasConnected = true;
      handler(event);
    } else if (wasConnected) target.removeEventListener(type, listener);
  };
  target.addEventListener(type, listener);
}

// Open a dialog with any content; "Escape" and its button close it.
export function showDialog(title, ...content) {
  const close = button("x", t("player.close"), () => dialog.close());
  const dialog = h("dialog", { class: "ask wide", "aria-label": title, onclose: () => dialog.remove() },
    h("div", { class: "top" }, h("h2", {}, title), close), ...content);
  (document.querySelector("dialog[open]") ?? document.body).append(dialog);
  dialog.showModal();
  return dialog;
}

// Open a small dialog; return a promise of the text of its field, "" for a dialog without one, null if it is closed.
export function ask({ title, label, value = "", action, explanation }) {
  const field = label ? h("input", { "aria-label": label, value, maxlength: 200, required: true, autocomplete: "off" }) : null;
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" }, h("h2", {}, title), explanation ? h("p", { class: "soft" }, explanation) : null, field,
      h("div", { class: "row2" },
        h("button", { type: "button", class: "pill ghost", onclick: () => dialog.close() }, t("frame.cancel")),
        h("button", { class: "pill", value: "yes" }, action)));
    const dialog = h("dialog", { class: "ask", "aria-label": title, onclose: () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? field?.value.trim() ?? "" : null);
    } }, form);
    (document.querySelector("dialog[open]") ?? document.body).append(dialog);
    dialog.showModal();
    field?.select();
  });
}
