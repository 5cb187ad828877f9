// Pointers on the canvas of the map: hover, press (without a drag), move (drag), zoom (wheel, two fingers), and a line drawn round tracks.

// `isDrawing()` says whether a drag draws a line; `draw(points)` is called while it grows, `drawn(points)` when it is complete.
export function listenToPointers(canvas, { hover, press, zoom, move, isDrawing, draw, drawn }) {
  const pointers = new Map(); // position by pointer id, of pressed buttons and pointers
  let dragDistance = 0;
  let line = null; // points of the line that is being drawn
  const localPosition = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, localPosition(event));
    dragDistance = 0;
    line = isDrawing() && pointers.size === 1 ? [localPosition(event)] : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const to = localPosition(event);
    const from = pointers.get(event.pointerId);
    if (!from) return hover(to);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by) || 1;
      zoom(distance(to, other) / distance(from, other), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
    } else if (line) {
      line.push(to);
      draw(line);
    } else move(to[0] - from[0], to[1] - from[1]);
    dragDistance += Math.abs(to[0] - from[0]) + Math.abs(to[1] - from[1]);
    pointers.set(event.pointerId, to);
  });
  const release = (event) => {
    const wasPressed = pointers.delete(event.pointerId);
    const finished = line;
    line = null;
    if (finished) draw(null);
    if (!wasPressed || event.type === "pointercancel") return;
    if (dragDistance <= 6) press(localPosition(event));
    else if (finished) drawn(finished);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0016), ...localPosition(event));
  }, { passive: false });
}
