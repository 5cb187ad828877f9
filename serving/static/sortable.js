// A virtual list whose rows are moved: dragged by a handle, or by the arrow keys while the handle has the focus.

import { t } from "./strings.js";
import { announce, button, h } from "./ui.js";
import { rowLayout, virtualList } from "./virtual.js";

const ROW_HEIGHT = 60;
const EDGE = 60; // within this distance of the upper or lower edge a drag scrolls, in pixels
const SCROLL_STEP = 12;

// Create a list.
//   items; label: name of the list; move(from, to): called for a move, and has to call `setItems`
//   render(item, index, handle): the element of an item, with the handle in it; nameOf(item): for screen readers
export function sortableList({ items, label, render, nameOf, move }) {
  const scroller = document.getElementById("main");
  const marker = h("li", { class: "marker", hidden: true, "aria-hidden": "true" });

  const handle = (item, index) => button("handle", t("list.move", { name: nameOf(item) }), () => {}, {
    class: "icon handle", title: t("list.moveHelp"),
    onkeydown: (event) => {
      const to = { ArrowUp: index - 1, ArrowDown: index + 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      if (to < 0 || to >= list.total) return;
      move(index, to);
      list.focusIndex(to);
      list.element.querySelector(`[data-index="${to}"] .handle`)?.focus();
      announce(t("list.moved", { name: nameOf(item), place: to + 1, count: list.total }));
    },
    onpointerdown: (event) => drag(event, index),
  });

  function drag(event, from) {
    event.preventDefault();
    const grip = event.currentTarget;
    const row = grip.closest("[data-index]");
    let clientY = event.clientY;
    let to = from;
    let frame = 0;
    const follow = () => {
      const { top, bottom } = scroller.getBoundingClientRect();
      if (clientY < top + EDGE) scroller.scrollTop -= SCROLL_STEP;
      else if (clientY > bottom - EDGE) scroller.scrollTop += SCROLL_STEP;
      const y = clientY - list.element.getBoundingClientRect().top;
      to = Math.min(list.total - 1, Math.max(0, Math.round(y / ROW_HEIGHT - 0.5)));
      marker.hidden = to === from;
      marker.style.transform = `translateY(${(to > from ? to + 1 : to) * ROW_HEIGHT - 1}px)`;
      frame = requestAnimationFrame(follow);
    };
    const end = (last) => {
      cancelAnimationFrame(frame);
      marker.hidden = true;
      row.classList.remove("dragged");
      grip.removeEventListener("pointermove", onMove);
      if (last.type === "pointerup" && to !== from) move(from, to);
    };
    const onMove = (moved) => (clientY = moved.clientY);
    grip.setPointerCapture(event.pointerId);
    grip.addEventListener("pointermove", onMove);
    grip.addEventListener("pointerup", end, { once: true });
    grip.addEventListener("pointercancel", end, { once: true });
    grip.focus();
    row.classList.add("dragged");
    follow();
  }

  const list = virtualList({
    first: { items, total: items.length }, load: async () => ({ items: [] }), layout: rowLayout(ROW_HEIGHT), label, className: "lines sortable",
    render: (item, index) => render(item, index, handle(item, index)),
  });
  list.element.append(marker);
  return list;
}

// Return the items with one of them moved.
export function moved(items, from, to) {
  const result = [...items];
  result.splice(to, 0, ...result.splice(from, 1));
  return result;
}
