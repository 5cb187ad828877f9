// The order of a queue of items {track, reason, place}: shuffled, and put back.

// Shuffle what comes after an index.
export function shuffle(queue, index) {
  for (let last = queue.length - 1; last > index + 1; last -= 1) {
    const other = index + 1 + Math.floor(Math.random() * (last - index));
    [queue[last], queue[other]] = [queue[other], queue[last]];
  }
}

// Note the present order, which `restore` puts back.
export const note = (queue) => queue.forEach((item, index) => (item.place = index));

// Put what comes after an index into the noted order; what was added meanwhile comes last.
export function restore(queue, index) {
  const place = (item) => item.place ?? Infinity;
  const upcoming = queue.splice(index + 1);
  queue.push(...upcoming.sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b))));
}
