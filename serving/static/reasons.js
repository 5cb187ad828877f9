// Reasons of recommendations: each is given once, for all the tracks that it stands for.

import { sayReason } from "./server_words.js";

const MIN_GROUP = 4; // tracks with one reason that have a section of their own

// Return items that give each reason once; `because` has it on all of them.
export function withoutRepeats(items) {
  const given = new Set();
  return items.map((item) => {
    const reason = given.has(item.reason) ? "" : item.reason;
    given.add(item.reason);
    return { ...item, reason, because: item.reason };
  });
}

// Return items whose common reason is given by the title of their section.
export const withOneReason = (items) => items.map((item) => ({ ...item, reason: "", because: item.reason }));

export const capitalize = (text) => text.replace(/^./u, (letter) => letter.toUpperCase());

// Divide a list into {title, note, items}: first the best of every reason, then a section for each reason that has many.
export function sections(items, title, maxItems) {
  const groups = [...Map.groupBy(items, (item) => item.reason ?? "")];
  if (groups.length === 1) return [{ title, note: groups[0][0], items: withOneReason(items.slice(0, maxItems)) }];
  const large = groups.filter(([reason, group]) => reason && group.length >= MIN_GROUP);
  const apart = new Set(large.flatMap(([, group]) => group.slice(1))); // the best one stays in the first section
  const first = withoutRepeats(items.filter((item) => !apart.has(item)).sort((a, b) => a.rank - b.rank).slice(0, maxItems));
  return [
    { title, note: "", items: first },
    ...large.map(([reason, group]) => ({
      title: capitalize(sayReason(reason)), note: "", items: withOneReason(group.slice(1, 1 + maxItems / 2)),
    })),
  ];
}
