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

// Play events: kept in this browser until the server has them, sent in order, each with an id of its own.
const KEY = "segue.events";
let waiting = read();
let sending = false;

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(waiting.slice(-500)));
  } catch {
    // A full or forbidden storage: the events live as long as the page.
  }
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
  waiting.push({
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
  if (sending) return;
  sending = true;
  try {
    while (waiting.length) {
      try {
        await post("events", waiting[0]);
      } catch (problem) {
        // What the server will never take must not hold up the rest; all else is tried again.
        if (![400, 404, 422].includes(problem.status)) break;
      }
      waiting.shift();
      keep();
    }
  } finally {
    sending = false;
  }
}
setInterval(send, 5000);
addEventListener("online", send);
