// The service worker's counterpart in the page: who the user is, and which tracks are played.

const USER_PREFIX = "segue-user-";
const AT_START = ["state", "recommendations", "recommendations/default", "mixes"];
const hasWorker = "serviceWorker" in navigator && "caches" in globalThis; // not without TLS, except on this machine

async function deleteCaches(isDeleted) {
  for (const name of await caches.keys()) if (name.startsWith(USER_PREFIX) && isDeleted(name)) await caches.delete(name);
}

// Store answers and tracks for this user from now on; those of others are deleted.
export async function startOffline(user, player) {
  if (!hasWorker) return;
  try {
    const name = USER_PREFIX + encodeURIComponent(user);
    await deleteCaches((each) => each !== name);
    const isNew = !(await caches.has(name));
    await caches.open(name);
    const isControlled = Boolean(navigator.serviceWorker.controller);
    await navigator.serviceWorker.register("/service_worker.js");
    player.addEventListener("started", () => navigator.serviceWorker.controller?.postMessage({ played: player.track.id }));
    // What this page had asked for before there was a worker, or a cache.
    const fetchAgain = () => AT_START.forEach((path) => fetch(`/api/${path}`).catch(() => {}));
    if (!isControlled) navigator.serviceWorker.addEventListener("controllerchange", fetchAgain, { once: true });
    else if (isNew) fetchAgain();
  } catch {
    // Private windows and full disks: the page works, with the network alone.
  }
}

// Delete what is stored, at the log-out.
export const endOffline = () => (hasWorker ? deleteCaches(() => true).catch(() => {}) : undefined);
