// The map of the collection on a canvas: drag, wheel and pinch move it, a click plays a track, arrow keys move from dot to dot.

import { colour as clusterColour, makeDots } from "./map_dots.js";
import { listenToPointers } from "./map_pointers.js";
import { t } from "./strings.js";
import { announce, h, toast } from "./ui.js";

const N_LABELS = 8; // clusters that are named before somebody zooms in
const LABEL_GAP = 8; // between two names, in pixels

const MAX_NAMES_ABOVE = 2_000; // tracks up to which a name stands above its cluster, not in it
const MAX_ZOOM_TO = 12; // scale at which a few found tracks are shown

export const isDark = () => {
  const { theme } = document.documentElement.dataset;
  return matchMedia("(prefers-color-scheme: dark)").matches ? theme !== "light" : theme === "dark";
};

export const colour = (cluster) => clusterColour(cluster, isDark());

// The crossing-number test: whether a point is within a closed line of points.
function isWithin([px, py], line) {
  let within = false;
  for (let n = 0, before = line.length - 1; n < line.length; before = n, n += 1) {
    const [ax, ay] = line[n];
    const [bx, by] = line[before];
    if (ay > py !== by > py && px < ((bx - ax) * (py - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}

// Draw the map. `choose(track)` is called for a click or Enter, `surround(ids)` with the tracks that a line was drawn round.
// Return the element and functions that change what is drawn.
export function drawMap(map, player, { fetchTrack, choose, surround }) {
  const { ids, clusters, names } = map;
  const [x, y] = [Float32Array.from(map.x), Float32Array.from(map.y)];
  const paintDots = makeDots({ x, y, clusters });
  const numbers = new Map(ids.map((id, n) => [id, n]));
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": t("map.label", { count: ids.length }) });
  const tip = h("div", { class: "tip", hidden: true });
  const view = { scale: 1, left: 0, top: 0 };
  const tracks = new Map(); // fetched ones, by number
  let path = []; // numbers of the tracks of a path
  let isOn = null; // by number of the track, 0 for those that are dimmed; null if none is
  let isDrawing = false; // whether a drag draws a line round tracks
  let line = null; // that line
  let before = null; // the view before it was moved to found tracks
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

  // Position of a point of the map on the canvas, in pixels, and the factors that it is computed with.
  const transform = () => {
    const [ax, ay] = [(canvas.clientWidth * view.scale) / 2.16, (canvas.clientHeight * view.scale) / 2.16];
    return { ax, ay, bx: view.left + 1.08 * ax, by: view.top + 1.08 * ay };
  };
  const place = (px, py) => {
    const { ax, bx, ay, by } = transform();
    return [ax * px + bx, ay * py + by];
  };
  const position = (n) => place(x[n], y[n]);
  const radius = () => Math.min(9, Math.max(1.6, (ids.length > 2000 ? 2.2 : 5) * Math.sqrt(view.scale)));

  // The upper end of each cluster, for the names of a small map: they would cover half of its dots.
  const tops = ids.length <= MAX_NAMES_ABOVE ? new Map() : null;
  if (tops) clusters.forEach((cluster, n) => tops.set(cluster, Math.min(tops.get(cluster) ?? 1, y[n])));
  let onlyCluster = null; // the one whose name alone is shown

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
    paintDots(context, { width, height, ratio, at: transform(), radius: radius(), dark, isOn });
    paintLine(context, dark);
    paintPath(context, dark);
    paintRings(context, dark);
    paintNames(context, width, height, dark);
  }

  function paintLine(context, dark) {
    if (!line) return;
    context.strokeStyle = dark ? "#fff" : "#1d1926";
    context.fillStyle = dark ? "rgb(255 255 255 / 10%)" : "rgb(30 20 50 / 8%)";
    context.lineWidth = 1.5;
    context.setLineDash([6, 5]);
    context.beginPath();
    for (const point of line) context.lineTo(...point);
    context.closePath();
    context.fill();
    context.stroke();
    context.setLineDash([]);
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
      const [px, middle] = place(cx, cy);
      const py = tops ? place(0, tops.get(cluster))[1] - radius() - 14 : middle;
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
    const { ax, bx, ay, by } = transform();
    let best = -1;
    let minSquare = maxDistance ** 2;
    for (let n = 0; n < ids.length; n += 1) {
      const square = (ax * x[n] + bx - px) ** 2 + (ay * y[n] + by - py) ** 2;
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
    canvas.style.cursor = isDrawing ? "crosshair" : n < 0 ? "grab" : "pointer";
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

  // Dim all tracks but these (numbers); null for none.
  function dim(found) {
    isOn = found && new Uint8Array(ids.length);
    if (found) for (const n of found) isOn[n] = 1;
    draw();
  }

  // Move the view so that these tracks (numbers) fill it, as far as names stay readable.
  function zoomTo(found) {
    if (!found.length) return;
    const { clientWidth: width, clientHeight: height } = canvas;
    let [left, right, top, bottom] = [1, -1, 1, -1];
    for (const n of found) {
      [left, right] = [Math.min(left, x[n]), Math.max(right, x[n])];
      [top, bottom] = [Math.min(top, y[n]), Math.max(bottom, y[n])];
    }
    view.scale = Math.min(MAX_ZOOM_TO, 1.6 / Math.max(right - left, bottom - top, 0.01));
    const { ax, ay } = transform();
    view.left = width / 2 - ax * ((left + right) / 2 + 1.08);
    view.top = height / 2 - ay * ((top + bottom) / 2 + 1.08);
    draw();
  }

  const toNumbers = (trackIds) => trackIds.map((id) => numbers.get(id)).filter((n) => n !== undefined);

  listenToPointers(canvas, {
    isDrawing: () => isDrawing,
    draw: (points) => {
      line = points && [...points];
      draw();
    },
    drawn: (points) => surround(ids.filter((_, n) => isWithin(position(n), points))),
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
      path = toNumbers(trackIds);
      draw();
    },
    // Show only a cluster, or these tracks; null for all.
    showOnly(cluster) {
      onlyCluster = cluster;
      dim(cluster === null ? null : ids.flatMap((_, n) => (clusters[n] === cluster ? [n] : [])));
    },
    showTracks(trackIds) {
      const found = trackIds && toNumbers(trackIds);
      onlyCluster = null;
      dim(found?.length ? found : null);
      if (found?.length) {
        before ??= { ...view };
        zoomTo(found);
      } else if (before) {
        Object.assign(view, before); // where somebody was before the search
        before = null;
      }
      return found?.length ?? 0;
    },
    setDrawing(drawing) {
      isDrawing = drawing;
      canvas.style.cursor = drawing ? "crosshair" : "grab";
    },
  };
}
