// A list or grid of any length: only the rows in sight, and a few around them, are in the document.

import { t } from "./strings.js";
import { cancelCovers, h } from "./ui.js";

const OVERSCAN_ROWS = 3;
const PAGE = 100; // items per request
const LOAD_DELAY_MS = 60; // while somebody scrolls through, what passes by is not requested

// Layouts: from the width of the list to columns, width of an item and height of a row, in pixels.
export const rowLayout = (rowHeight) => (width) => ({ columns: 1, itemWidth: width, rowHeight, gap: 0 });
export const gridLayout = (minWidth, textHeight, gap = 18) => (width) => {
  const columns = Math.max(2, Math.floor((width + gap) / (minWidth + gap)));
  const itemWidth = (width - gap * (columns - 1)) / columns;
  return { columns, itemWidth, rowHeight: Math.round(itemWidth) + textHeight, gap };
};

// Create a virtual list.
//   first: the first page, {total, items}
//   load(offset, limit): promise of a further page
//   render(item, index): the element of an item, with one <a> or <button> that takes the focus first
//   layout: see above; label: the list's name for screen readers
export function virtualList({ first, load, render, layout, label, className = "" }) {
  const scroller = document.getElementById("main");
  const items = [...first.items];
  let { total } = first;
  const nodes = new Map(); // elements in the document, by index
  const requested = new Set(); // pages, by number
  let place = layout(scroller.clientWidth || 800);
  let timer = 0;
  let frame = 0;
  let awaited = -1; // index of an item that gets the focus when it is loaded; meanwhile the list has it

  const element = h("ul", { class: `virtual ${className}`, role: "list", "aria-label": label, tabindex: -1 });
  const rows = () => Math.ceil(total / place.columns);

  function create(index) {
    const item = items[index];
    const node = item ? render(item, index) : h("li", { class: "placeholder", "aria-hidden": "true" }, h("i", {}));
    const column = index % place.columns;
    node.style.width = `${place.itemWidth}px`;
    node.style.transform = `translate(${column * (place.itemWidth + place.gap)}px, ${Math.floor(index / place.columns) * place.rowHeight}px)`;
    node.dataset.index = index;
    node.setAttribute("aria-setsize", total);
    node.setAttribute("aria-posinset", index + 1);
    return node;
  }

  // Indices of the first and after the last item in sight, with the overscan.
  function range() {
    const top = scroller.getBoundingClientRect().top - element.getBoundingClientRect().top;
    const firstRow = Math.max(0, Math.floor(top / place.rowHeight) - OVERSCAN_ROWS);
    const endRow = Math.min(rows(), Math.ceil((top + scroller.clientHeight) / place.rowHeight) + OVERSCAN_ROWS);
    return [firstRow * place.columns, Math.min(total, Math.max(0, endRow) * place.columns)];
  }

  function update() {
    if (!element.isConnected) return;
    const [begin, end] = range();
    for (const [index, node] of nodes)
      if ((index < begin || index >= end) && !node.contains(document.activeElement)) {
        cancelCovers(node);
        node.remove();
        nodes.delete(index);
      }
    // From the last to the first, each before the one after it: the Tab key follows the order of the document.
    for (let index = end - 1; index >= begin; index -= 1)
      if (!nodes.has(index)) {
        nodes.set(index, create(index));
        element.insertBefore(nodes.get(index), nodes.get(index + 1) ?? null);
      }
    clearTimeout(timer);
    timer = setTimeout(() => loadMissing(begin, end), LOAD_DELAY_MS);
  }

  function loadMissing(begin, end) {
    for (let page = Math.floor(begin / PAGE); page * PAGE < end; page += 1) {
      const isThere = items.slice(page * PAGE, Math.min(total, (page + 1) * PAGE)).filter(Boolean).length;
      if (requested.has(page) || isThere === Math.min(total - page * PAGE, PAGE)) continue;
      requested.add(page);
      load(page * PAGE, PAGE).then(
        (answer) => fill(page * PAGE, answer.items),
        () => requested.delete(page), // asked for again by the next scroll
      );
    }
  }

  function fill(offset, loaded) {
    loaded.forEach((item, n) => {
      const index = offset + n;
      if (items[index]) return;
      items[index] = item;
      const old = nodes.get(index);
      if (!old) return;
      nodes.set(index, create(index));
      old.replaceWith(nodes.get(index));
      if (index === awaited && document.activeElement === element) focusNode(index);
    });
  }

  function relayout() {
    if (!element.isConnected || !element.clientWidth) return;
    place = layout(element.clientWidth);
    element.style.height = `${rows() * place.rowHeight}px`;
    for (const node of nodes.values()) node.remove();
    nodes.clear();
    update();
  }

  function focusNode(index) {
    const control = nodes.get(index)?.querySelector("a, button");
    awaited = control ? -1 : index;
    (control ?? element).focus({ preventScroll: true });
  }

  // Scroll to an item and focus it.
  function focusIndex(index) {
    const target = Math.min(total - 1, Math.max(0, index));
    const top = Math.floor(target / place.columns) * place.rowHeight;
    const seen = scroller.getBoundingClientRect().top - element.getBoundingClientRect().top;
    if (top < seen) scroller.scrollTop -= seen - top + 12;
    else if (top + place.rowHeight > seen + scroller.clientHeight) scroller.scrollTop += top + place.rowHeight - seen - scroller.clientHeight + 12;
    update();
    focusNode(target);
  }

  element.addEventListener("keydown", (event) => {
    const index = event.target === element ? awaited : Number(event.target.closest("[data-index]")?.dataset.index ?? -1);
    if (index < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(scroller.clientHeight / place.rowHeight) - 1) * place.columns;
    const isGrid = place.columns > 1;
    const step = {
      ArrowDown: place.columns, ArrowUp: -place.columns, PageDown: page, PageUp: -page,
      Home: -index, End: total - 1 - index, ArrowRight: isGrid ? 1 : undefined, ArrowLeft: isGrid ? -1 : undefined,
    }[event.key];
    if (step === undefined || (index + step < 0 && Math.abs(step) === place.columns)) return;
    event.preventDefault();
    event.stopPropagation();
    focusIndex(index + step);
  });

  const schedule = () => {
    if (!element.isConnected) return scroller.removeEventListener("scroll", schedule);
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(update);
  };
  scroller.addEventListener("scroll", schedule, { passive: true });
  let width = 0;
  new ResizeObserver(() => {
    if (element.clientWidth && element.clientWidth !== width) {
      width = element.clientWidth;
      relayout();
    }
  }).observe(element);
  element.addEventListener("mount", () => {
    width = element.clientWidth;
    relayout();
  });
  element.style.height = `${rows() * place.rowHeight}px`;

  return {
    element, items, focusIndex,
    get total() { return total; },
    // Show other items; the focus stays on the control it is on, in the row of that number.
    setItems(changed) {
      const focused = element.contains(document.activeElement) ? document.activeElement : null;
      const index = focused?.closest("[data-index]")?.dataset.index;
      const position = index && [...nodes.get(Number(index)).querySelectorAll("a, button")].indexOf(focused);
      items.splice(0, items.length, ...changed);
      total = items.length;
      focused?.blur();
      relayout();
      if (index) nodes.get(Math.min(Number(index), total - 1))?.querySelectorAll("a, button")[position]?.focus({ preventScroll: true });
    },
    // Scroll so that an item is the first in sight.
    scrollTo(index) {
      const top = Math.floor(index / place.columns) * place.rowHeight;
      scroller.scrollTop += element.getBoundingClientRect().top + top - scroller.getBoundingClientRect().top - 12;
      update();
    },
  };
}

// The letters of a list as buttons that jump to their first item.
export function letterBar(letters, list) {
  if (letters.length < 4) return null;
  return h("nav", { class: "letters", "aria-label": t("browse.letters") }, letters.map(({ letter, offset }) =>
    h("button", { type: "button", onclick: () => list.scrollTo(offset) }, letter)));
}
