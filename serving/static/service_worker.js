// The page without a network: its files, the latest answers of the API, and the tracks played last. The network comes first;
// what is stored serves only when the server does not answer. The server puts VERSION and FILES in front of this file.
/* global VERSION, FILES */

const SHELL = `segue-shell-${VERSION}`;
const USER_PREFIX = "segue-user-"; // followed by the user's name; the page creates it, see offline.js
const MAX_ANSWERS = 400;
const DROP_INTERVAL = 20; // answers stored between two looks at how many there are
let storedCount = 0;
const MAX_TRACKS = 60;
const MAX_TRACK_BYTES = 150 * 2 ** 20; // all tracks, of the compressed files
// Answers that are stored: what home, playlists, albums and the lists of tracks need. No passwords, users or other people's plays.
const STORED = /^\/api\/(state|recommendations|recommendations\/default|mixes|liked|history|playlists|(mixes|playlists|albums|artists)\/[^/]+|(albums|tracks)\/[^/]+\/cover)$/;
const AUDIO = /^\/api\/tracks\/([^/]+)\/audio$/;

addEventListener("install", (event) => {
  const requests = ["/", ...FILES].map((path) => new Request(path, { cache: "no-cache" }));
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(requests)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith("segue-shell-") && name !== SHELL;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name)))).then(() => clients.claim()));
});

// The cache of the user whose page was opened last; undefined if nobody is logged in.
async function userCache() {
  const names = (await caches.keys()).filter((name) => name.startsWith(USER_PREFIX));
  return names.length === 1 ? caches.open(names[0]) : undefined;
}

async function forgetUsers() {
  for (const name of await caches.keys()) if (name.startsWith(USER_PREFIX)) await caches.delete(name);
}

async function drop(cache, path, most) {
  const stored = (await cache.keys()).filter((request) => path.test(new URL(request.url).pathname));
  for (const request of stored.slice(0, -most)) await cache.delete(request);
}

async function fromShell(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const cache = await caches.open(SHELL);
    const found = await cache.match(request.mode === "navigate" ? "/" : request.url);
    if (!found) throw error;
    return found;
  }
}

async function fromApi(request, waitUntil) {
  try {
    const answer = await fetch(request);
    const { pathname } = new URL(request.url);
    if (answer.status === 401 && pathname === "/api/state") waitUntil(forgetUsers());
    if (answer.status === 200) {
      const copy = answer.clone();
      waitUntil(userCache().then(async (cache) => {
        await cache?.delete(request.url); // so that the latest is the last one
        await cache?.put(request.url, copy);
        storedCount += 1;
        if (cache && storedCount % DROP_INTERVAL === 0) await drop(cache, STORED, MAX_ANSWERS);
      }));
    }
    return answer;
  } catch (error) {
    const found = await (await userCache())?.match(request.url);
    if (!found) throw error;
    return found;
  }
}

const smallFile = (trackId) => `/api/tracks/${trackId}/audio?quality=small`;

async function fromAudio(request, trackId) {
  try {
    return await fetch(request);
  } catch (error) {
    const found = await (await userCache())?.match(smallFile(trackId));
    if (!found) throw error;
    const file = await found.blob();
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ?? [];
    if (first === undefined || Number(first) >= file.size) return new Response(file, { headers: { "Content-Type": file.type } });
    const end = last ? Math.min(Number(last), file.size - 1) : file.size - 1;
    return new Response(file.slice(Number(first), end + 1), { status: 206, headers: {
      "Content-Type": file.type, "Content-Length": end + 1 - first, "Content-Range": `bytes ${first}-${end}/${file.size}`,
    } });
  }
}

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== location.origin) return;
  const { pathname } = url;
  if (request.method === "POST" && (pathname === "/api/login" || pathname === "/api/logout"))
    return event.waitUntil(forgetUsers());
  if (request.method !== "GET") return;
  const waitUntil = (promise) => event.waitUntil(promise);
  const audio = AUDIO.exec(pathname);
  if (pathname === "/" || pathname.startsWith("/static/")) event.respondWith(fromShell(request));
  else if (audio && !url.searchParams.has("download")) event.respondWith(fromAudio(request, audio[1]));
  else if (STORED.test(pathname)) event.respondWith(fromApi(request, waitUntil));
});

// Store the compressed file of a track that plays.
async function store(trackId) {
  const cache = await userCache();
  const path = smallFile(encodeURIComponent(trackId));
  if (!cache) return;
  const known = await cache.match(path);
  const answer = known ?? (await fetch(path));
  if (answer.status !== 200) return;
  await cache.delete(path);
  await cache.put(path, answer);
  await drop(cache, AUDIO, MAX_TRACKS);
  let bytes = 0;
  for (const request of (await cache.keys()).filter(({ url }) => AUDIO.test(new URL(url).pathname)).reverse()) {
    bytes += Number((await cache.match(request)).headers.get("content-length"));
    if (bytes > MAX_TRACK_BYTES) await cache.delete(request);
  }
}
addEventListener("message", (event) => {
  if (event.data?.played) event.waitUntil(store(event.data.played).catch(() => {})); // the next play tries again
});
