// The endpoint: requests that say in one line what went wrong, and the stream of what changes.

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function request(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`/api/${path}`, options);
  } catch {
    throw new Problem(0, "Segue does not answer.");
  }
  const data = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, data?.detail ?? `unexpected answer ${answer.status}`);
  return data;
}

export const get = (path, query = {}) => {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  return request("GET", words.size ? `${path}?${words}` : path);
};
export const post = (path, body) => request("POST", path, body);
export const put = (path, body) => request("PUT", path, body);
export const remove = (path) => request("DELETE", path);

export const audioUrl = (track) => `/api/tracks/${encodeURIComponent(track.id)}/audio`;
export const coverUrl = (track, size = 300) => `/api/tracks/${encodeURIComponent(track.id)}/cover?size=${size}`;

// What the server tells by itself. EventSource reconnects with Last-Event-ID; `handlers.link(up)` says whether it holds.
export function live(handlers) {
  const source = new EventSource("/api/live");
  for (const kind of ["recommendations", "state", "collection"])
    source.addEventListener(kind, (event) => handlers[kind]?.(JSON.parse(event.data)));
  source.onopen = () => handlers.link?.(true);
  source.onerror = () => {
    handlers.link?.(false);
    // After an answer that is no stream (a proxy's error page) a browser gives up; we do not.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => live(handlers), 3000);
  };
  return source;
}

// Play events: kept in this browser until the server has them, sent in order, each with an id and with whose it is; each by a
// key of its own, for tabs that write one list erase each other's. The order of the keys is that of time.
const KEY = "segue.event.";
const LIST = "segue.events"; // of older pages, all in one and nobody's: they are sent for who comes first
const MOST = 500;
const unkept = new Map(); // by key, what is not in the storage, or not yet: it lives as long as the page
let listener = null; // until the server has said who
let told = 0;
let sending = false;

const keys = () => Object.keys(localStorage).filter((key) => key.startsWith(KEY)).sort();

function hold(event) {
  told += 1; // what one millisecond tells keeps its order as well
  unkept.set(`${KEY}${event.played_at}.${String(told).padStart(6, "0")}.${event.event_id}`, event);
}

function keep() {
  if (!listener) return;
  try {
    for (const [key, event] of unkept) {
      localStorage.setItem(key, JSON.stringify({ ...event, listener }));
      unkept.delete(key);
    }
    for (const key of keys().slice(0, -MOST)) localStorage.removeItem(key);
  } catch {
    // A full or forbidden storage: it is tried again with the next event.
  }
}

// What this listener's pages have told and the server has not, oldest first; another's wait until that one is back.
function waiting() {
  let kept = [];
  try {
    kept = keys().map((key) => [key, JSON.parse(localStorage.getItem(key))]).filter(([, event]) => event?.listener === listener);
  } catch {
    // No storage: what this page holds is all.
  }
  return [...unkept, ...kept].sort(([one], [other]) => (one < other ? -1 : 1));
}

function drop(key) {
  unkept.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // It was not there.
  }
}

export function listenAs(name) {
  listener = name;
  try {
    for (const event of JSON.parse(localStorage.getItem(LIST)) ?? []) hold(event);
    localStorage.removeItem(LIST);
  } catch {
    // No storage, so no list.
  }
  keep();
  send();
}

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

export function tell(event, track, position) {
  hold({
    event_id: randomId(),
    track_id: track.id,
    event,
    position_s: Math.max(0, Math.round((position || 0) * 10) / 10),
    session_id: session,
    played_at: new Date().toISOString(),
  });
  keep();
  send();
}

export async function send() {
  if (sending || !listener) return;
  sending = true;
  try {
    for (let next; (next = waiting()[0]); ) {
      const [key, event] = next;
      try {
        await post("events", { ...event, listener });
      } catch (problem) {
        // Somebody else has logged in, in another tab: this page is theirs now.
        if (problem.status === 409) return location.reload();
        // What the server will never take must not hold up the rest; all else is tried again.
        if (![400, 404, 422].includes(problem.status)) break;
      }
      drop(key);
    }
  } finally {
    sending = false;
  }
}
setInterval(send, 5000);
addEventListener("online", send);
