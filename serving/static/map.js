// The map of the collection on a canvas: drag, wheel and pinch move it, a click plays a track, arrow keys move from dot to dot.

import { t } from "./strings.js";
import { announce, h, toast } from "./ui.js";

const N_LABELS = 8; // clusters that are named before somebody zooms in
const LABEL_GAP = 8; // between two names, in pixels

// The golden angle gives neighbouring cluster numbers different hues.
export const colour = (cluster, lightness) => `hsl(${(cluster * 137.508 + 340) % 360} 68% ${lightness}%)`;

export const isDark = () => {
  const { theme } = document.documentElement.dataset;
  return matchMedia("(prefers-color-scheme: dark)").matches ? theme !== "light" : theme === "dark";
};

// Draw the map. `choose(track)` is called for a click or Enter; return the element and functions that change what is drawn.
export function drawMap(map, player, fetchTrack, choose) {
  const { ids, x, y, clusters, names } = map;
  const numbers = new Map(ids.map((id, n) => [id, n]));
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": t("map.label", { count: ids.length }) });
  const tip = h("div", { class: "tip", hidden: true });
  const view = { scale: 1, left: 0, top: 0 };
  const tracks = new Map(); // fetched ones, by number
  let path = []; // numbers of the tracks of a path
  let onlyCluster = null; // the one that is not dimmed
  let selected = -1; // number of the selected track
  let requestCount = 0;

  const zoomBy = (factor, cx = canvas.clientWidth / 2, cy = canvas.clientHeight / 2) => {
    const scale = Math.min(60, Math.max(0.8, view.scale * factor));
    view.left = cx - ((cx - view.left) * scale) / view.scale;
    view.top = cy - ((cy - view.top) * scale) / view.scale;
    view.scale = scale;
    draw();
  };
  const box = h("div", { class: "mapbox" }, canvas, tip,
    h("div", { class: "zoom" },
      h("button", { type: "button", "aria-label": t("map.zoomIn"), onclick: () => zoomBy(1.5) }, "+"),
      h("button", { type: "button", "aria-label": t("map.zoomOut"), onclick: () => zoomBy(1 / 1.5) }, "−")));

  // Position of a point of the map on the canvas, in pixels.
  const place = (px, py) => {
    const { clientWidth: width, clientHeight: height } = canvas;
    return [view.left + ((px + 1.08) / 2.16) * width * view.scale, view.top + ((py + 1.08) / 2.16) * height * view.scale];
  };
  const position = (n) => place(x[n], y[n]);
  const radius = () => Math.min(9, Math.max(1.6, (ids.length > 2000 ? 2.2 : 5) * Math.sqrt(view.scale)));

  let frame = 0;
  function draw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(paint);
  }

  function paint() {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    const dark = isDark();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    paintDots(context, width, height, dark);
    paintPath(context, dark);
    paintRings(context, dark);
    paintNames(context, width, height, dark);
  }

  function paintDots(context, width, height, dark) {
    const dot = radius();
    for (let n = 0; n < ids.length; n += 1) {
      const [px, py] = position(n);
      if (px < -9 || py < -9 || px > width + 9 || py > height + 9) continue;
      context.fillStyle = colour(clusters[n], dark ? 66 : 46);
      context.globalAlpha = onlyCluster === null || onlyCluster === clusters[n] ? 0.86 : 0.12;
      if (ids.length > 20_000) {
        context.fillRect(px - dot, py - dot, 2 * dot, 2 * dot); // a third of the time of a circle
        continue;
      }
      context.beginPath();
      context.arc(px, py, dot, 0, 7);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  function paintPath(context, dark) {
    if (path.length < 2) return;
    context.strokeStyle = dark ? "#fff" : "#1d1926";
    context.lineWidth = 2.5;
    context.lineJoin = "round";
    context.beginPath();
    for (const n of path) context.lineTo(...position(n));
    context.stroke();
    context.fillStyle = context.strokeStyle;
    for (const n of path) {
      context.beginPath();
      context.arc(...position(n), radius() + 1.5, 0, 7);
      context.fill();
    }
  }

  function paintRings(context, dark) {
    const playing = numbers.get(player.track?.id) ?? -1;
    for (const [n, lineWidth, distance] of [[playing, 3, 6], [selected, 2, 3]]) {
      if (n < 0) continue;
      context.strokeStyle = dark ? "#fff" : "#1d1926";
      context.lineWidth = lineWidth;
      context.beginPath();
      context.arc(...position(n), radius() + distance, 0, 7);
      context.stroke();
    }
  }

  // Names of clusters, the largest first, where they do not cover each other; zooming in makes room for more.
  function paintNames(context, width, height, dark) {
    const drawn = [];
    context.font = "650 13px Inter, system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const { name, cluster, x: cx, y: cy } of names.slice(0, Math.round(N_LABELS * view.scale ** 1.5))) {
      if (onlyCluster !== null && onlyCluster !== cluster) continue;
      const [px, py] = place(cx, cy);
      const half = context.measureText(name).width / 2 + LABEL_GAP;
      const left = Math.min(Math.max(px, half), width - half);
      if (py < 8 || py > height - 8 || px < -half || px > width + half) continue;
      if (drawn.some(([ox, oy, ohalf]) => Math.abs(ox - left) < half + ohalf && Math.abs(oy - py) < 22)) continue;
      drawn.push([left, py, half]);
      context.strokeStyle = dark ? "#0c0a10" : "#fffefb";
      context.lineWidth = 5;
      context.strokeText(name, left, py);
      context.fillStyle = dark ? "#f4f1f8" : "#1d1926";
      context.fillText(name, left, py);
    }
  }

  // Number of the track nearest to a point, within a radius in pixels; -1 if there is none.
  const nearest = (px, py, maxDistance = 18) => {
    let best = -1;
    let minSquare = maxDistance ** 2;
    for (let n = 0; n < ids.length; n += 1) {
      const [qx, qy] = position(n);
      const square = (qx - px) ** 2 + (qy - py) ** 2;
      if (square < minSquare) [best, minSquare] = [n, square];
    }
    return best;
  };

  const getTrack = async (n) => {
    if (!tracks.has(n)) tracks.set(n, await fetchTrack(ids[n]));
    return tracks.get(n);
  };

  async function select(n) {
    if (n === selected) return;
    selected = n;
    draw();
    tip.hidden = n < 0;
    canvas.style.cursor = n < 0 ? "grab" : "pointer";
    if (n < 0) return;
    const request = (requestCount += 1);
    const track = await getTrack(n).catch(() => null);
    if (request !== requestCount || !track) return; // another track has been selected meanwhile
    tip.replaceChildren(h("b", {}, track.title), track.artist);
    announce(t("map.trackBy", track));
    const [px, py] = position(n);
    tip.style.left = `${Math.min(px + 14, canvas.clientWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(8, Math.min(py + 14, canvas.clientHeight - tip.offsetHeight - 8))}px`;
  }

  const chooseAt = async (n) => {
    try {
      choose(await getTrack(n));
    } catch (problem) {
      toast(problem.message);
    }
  };

  // The track that lies nearest in a direction from the selected one.
  function step(direction) {
    if (selected < 0) return select(Math.max(0, numbers.get(player.track?.id) ?? 0));
    const [px, py] = position(selected);
    let best = selected;
    let minCost = Infinity;
    for (let n = 0; n < ids.length; n += 1) {
      const [dx, dy] = position(n).map((value, axis) => value - [px, py][axis]);
      const along = dx * direction[0] + dy * direction[1];
      const cost = Math.hypot(dx, dy) + 2 * Math.abs(dx * direction[1] + dy * direction[0]);
      if (n !== selected && along > 0.5 && cost < minCost) [best, minCost] = [n, cost];
    }
    return select(best);
  }

  listenToPointers(canvas, {
    hover: (point) => select(nearest(...point)),
    press: (point) => {
      const n = nearest(...point, 24);
      if (n >= 0) select(n).then(() => chooseAt(n));
    },
    zoom: zoomBy,
    move: (dx, dy) => {
      view.left += dx;
      view.top += dy;
      draw();
    },
  });
  canvas.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" && selected >= 0) chooseAt(selected);
    else if (direction) step(direction);
    else if (event.key === "+") zoomBy(1.4);
    else if (event.key === "-") zoomBy(1 / 1.4);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(draw).observe(canvas);
  player.addEventListener("track", draw);
  return {
    element: box,
    showPath(trackIds) {
      path = trackIds.map((id) => numbers.get(id)).filter((n) => n !== undefined);
      draw();
    },
    showOnly(cluster) {
      onlyCluster = cluster;
      draw();
    },
  };
}

// Translate pointers on a canvas: hover, press (without a drag), move (drag), zoom (wheel, two fingers).
function listenToPointers(canvas, { hover, press, zoom, move }) {
  const pointers = new Map(); // position by pointer id, of pressed buttons and pointers
  let dragDistance = 0;
  const localPosition = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, localPosition(event));
    dragDistance = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const to = localPosition(event);
    const from = pointers.get(event.pointerId);
    if (!from) return hover(to);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by) || 1;
      zoom(distance(to, other) / distance(from, other), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
    } else move(to[0] - from[0], to[1] - from[1]);
    dragDistance += Math.abs(to[0] - from[0]) + Math.abs(to[1] - from[1]);
    pointers.set(event.pointerId, to);
  });
  const release = (event) => {
    const wasPressed = pointers.delete(event.pointerId);
    if (wasPressed && event.type !== "pointercancel" && dragDistance <= 6) press(localPosition(event));
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0016), ...localPosition(event));
  }, { passive: false });
}
