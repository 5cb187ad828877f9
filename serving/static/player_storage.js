// A user's queue and the state of the player, kept in this browser over a reload.

const KEY_PREFIX = "segue.player."; // followed by the user's name: each user has a queue
const SAVED_PAST = 20; // tracks of the queue that are stored before and after the present one
const SAVED_UPCOMING = 200;

export function save(user, { queue, index, played, radio, shuffle, repeat, volume, position }) {
  const first = Math.max(0, index - SAVED_PAST);
  const saved = { queue: queue.slice(first, index + SAVED_UPCOMING), index: index - first, played, radio, shuffle, repeat, volume, position };
  try {
    localStorage.setItem(KEY_PREFIX + user, JSON.stringify(saved));
  } catch {
    // Without storage nothing is restored after a reload.
  }
}

// Return the saved state, {} if there is none.
export function restore(user) {
  try {
    const saved = JSON.parse(localStorage.getItem(KEY_PREFIX + user));
    if (!Number.isInteger(saved?.index)) return {};
    const { queue, index, played, radio, shuffle, repeat, volume, position } = saved;
    return { queue, index, played, radio, shuffle, repeat, volume, restoredPosition: position || 0 };
  } catch {
    return {}; // without a readable saved state the player starts empty
  }
}
