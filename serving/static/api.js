// Requests to the HTTP API, the event stream, and the queue of play events in this browser.

import { t } from "./strings.js";

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function request(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body instanceof Blob) options.body = body;
  else if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(`/api/${path}`, options);
  } catch {
    throw new Problem(0, t("frame.noAnswer"));
  }
  const data = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, data?.detail ?? t("frame.unexpected", { status: response.status }));
  return data;
}

export const get = (path, query = {}) => {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  return request("GET", parameters.size ? `${path}?${parameters}` : path);
};

// Answers that depend on the collection alone, kept so that going back shows them at once.
const MAX_KEPT = 60;
const collectionAnswers = new Map();

// Get a path whose answer stays the same until the collection changes.
export async function getCollection(path, query = {}) {
  const key = `${path} ${JSON.stringify(query)}`;
  if (!collectionAnswers.has(key)) {
    const answer = get(path, query);
    collectionAnswers.set(key, answer);
    answer.catch(() => collectionAnswers.delete(key));
    if (collectionAnswers.size > MAX_KEPT) collectionAnswers.delete(collectionAnswers.keys().next().value);
  }
  return collectionAnswers.get(key);
}
export const forgetCollection = () => collectionAnswers.clear();

// Send a file as the body of a request.
export const upload = (path, query, file) => request("POST", `${path}?${new URLSearchParams(query)}`, file);
export const post = (path, body) => request("POST", path, body);
export const put = (path, body) => request("PUT", path, body);
export const remove = (path) => request("DELETE", path);

export const audioUrl = (track, quality = "original") =>
  `/api/tracks/${encodeURIComponent(track.id)}/audio${quality === "original" ? "" : `?quality=${quality}`}`;
// The cover of an album, or of a track whose album is not known.
export const coverUrl = ({ album_id, id }, size = 300) =>
  `/api/${album_id ? "albums" : "tracks"}/${encodeURIComponent(album_id ?? id)}/cover?size=${size}`;

const RECONNECT_MS = 3000;

// Subscribe to the server's event stream. EventSource reconnects with Last-Event-ID; `handlers.link(isConnected)` is called
// whenever the connection opens or breaks.
export function subscribe(handlers) {
  const source = new EventSource("/api/events/stream");
  for (const type of ["recommendations", "state", "collection", "playlists"])
    source.addEventListener(type, (event) => handlers[type]?.(JSON.parse(event.data)));
  source.onopen = () => handlers.link?.(true);
  source.onerror = () => {
    handlers.link?.(false);
    // After an answer that is no event stream (a proxy's error page) the browser gives up, so we reconnect ourselves.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => subscribe(handlers), RECONNECT_MS);
  };
  return source;
}

// Play events wait in localStorage until the server has accepted them, and are sent in order. Each has an id, its user, and
// a key of its own, because tabs that write one common list would overwrite each other's events. Sorted keys are in time order.
const KEY_PREFIX = "segue.event.";
const MAX_STORED = 500;
const RETRY_INTERVAL_MS = 5000;
const unstored = new Map(); // events by key that are not in localStorage yet; they live as long as the page
let user = null; // null until the server has answered
let eventCount = 0;
let isSending = false;

const storedKeys = () => Object.keys(localStorage).filter((key) => key.startsWith(KEY_PREFIX)).sort();

function enqueue(event) {
  eventCount += 1; // the counter orders the events of one millisecond
  unstored.set(`${KEY_PREFIX}${event.played_at}.${String(eventCount).padStart(6, "0")}.${event.event_id}`, event);
}

// Move the unstored events to localStorage, and delete the oldest above the limit.
function persist() {
  if (!user) return;
  try {
    for (const [key, event] of unstored) {
      localStorage.setItem(key, JSON.stringify({ ...event, listener: user }));
      unstored.delete(key);
    }
    for (const key of storedKeys().slice(0, -MAX_STORED)) localStorage.removeItem(key);
  } catch {
    // The storage is full or forbidden: the next event tries again.
  }
}

// Return this user's events that the server has not accepted yet, oldest first. Events of another user wait for that user.
function pending() {
  let stored = [];
  try {
    stored = storedKeys().map((key) => [key, JSON.parse(localStorage.getItem(key))]).filter(([, event]) => event?.listener === user);
  } catch {
    // Without storage only the events of this page exist.
  }
  return [...unstored, ...stored].sort(([keyA], [keyB]) => (keyA < keyB ? -1 : 1));
}

function dequeue(key) {
  unstored.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // Without storage the key was not stored.
  }
}

// Set the user whose events are sent, and send those that wait.
export function setUser(name) {
  user = name;
  persist();
  send();
}

export const isOwn = ({ owner }) => owner === user;

export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const session = (() => {
  try {
    const id = sessionStorage.getItem("segue.session") ?? randomId();
    sessionStorage.setItem("segue.session", id);
    return id;
  } catch {
    return randomId();
  }
})();

// Report a play event: "started", "finished" or "skipped" at a position in seconds.
export function reportEvent(type, track, position) {
  enqueue({
    event_id: randomId(),
    track_id: track.id,
    event: type,
    position_s: Math.max(0, Math.round((position || 0) * 10) / 10),
    session_id: session,
    played_at: new Date().toISOString(),
  });
  persist();
  send();
}

// Send the pending events in order, until one fails.
export async function send() {
  if (isSending || !user) return;
  isSending = true;
  try {
    for (let next = pending()[0]; next; next = pending()[0]) {
      const [key, event] = next;
      try {
        await post("events", { ...event, listener: user });
      } catch (problem) {
        // Another user has logged in, in another tab: reload the page for that user.
        if (problem.status === 409) return location.reload();
        // An event that the server will always refuse is dropped, so that it does not block the others; all else is retried.
        if (![400, 404, 422].includes(problem.status)) break;
      }
      dequeue(key);
    }
  } finally {
    isSending = false;
  }
}
setInterval(send, RETRY_INTERVAL_MS);
addEventListener("online", send);
