// The collection in two dimensions, on a canvas: drag, wheel, pinch, a click plays. The keyboard moves from dot to dot.

import { h, say, toast } from "./ui.js";

const colour = (cluster, light) => `hsl(${(cluster * 137.508 + 340) % 360} 68% ${light}%)`;

export function drawMap(found, player, fetchTrack) {
  const { ids, x, y, clusters } = found;
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": `Map of ${ids.length} tracks. Arrow keys move to the nearest in that direction, Enter plays it.` });
  const tip = h("div", { class: "tip", hidden: true });
  const view = { scale: 1, left: 0, top: 0 };
  const names = new Map();
  let at = -1;
  let asked = 0;

  const zoomBy = (factor, cx = canvas.clientWidth / 2, cy = canvas.clientHeight / 2) => {
    const scale = Math.min(60, Math.max(0.8, view.scale * factor));
    view.left = cx - ((cx - view.left) * scale) / view.scale;
    view.top = cy - ((cy - view.top) * scale) / view.scale;
    view.scale = scale;
    draw();
  };
  const box = h("div", { class: "mapbox" }, canvas, tip,
    h("div", { class: "zoom" },
      h("button", { type: "button", "aria-label": "Nearer", onclick: () => zoomBy(1.5) }, "+"),
      h("button", { type: "button", "aria-label": "Farther", onclick: () => zoomBy(1 / 1.5) }, "−")));

  const place = (n) => {
    const { clientWidth: width, clientHeight: height } = canvas;
    return [view.left + ((x[n] + 1.08) / 2.16) * width * view.scale, view.top + ((y[n] + 1.08) / 2.16) * height * view.scale];
  };
  const radius = () => Math.min(9, Math.max(1.6, (ids.length > 2000 ? 2.2 : 5) * Math.sqrt(view.scale)));

  function draw() {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const paint = canvas.getContext("2d");
    const dark = matchMedia("(prefers-color-scheme: dark)").matches ? document.documentElement.dataset.theme !== "light" : document.documentElement.dataset.theme === "dark";
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, width, height);
    const dot = radius();
    for (let n = 0; n < ids.length; n += 1) {
      const [px, py] = place(n);
      if (px < -9 || py < -9 || px > width + 9 || py > height + 9) continue;
      paint.fillStyle = colour(clusters[n], dark ? 66 : 46);
      paint.globalAlpha = 0.86;
      paint.beginPath();
      paint.arc(px, py, dot, 0, 7);
      paint.fill();
    }
    paint.globalAlpha = 1;
    const now = ids.indexOf(player.track?.id);
    for (const [n, width2, extra] of [[now, 3, 6], [at, 2, 3]]) {
      if (n < 0) continue;
      paint.strokeStyle = dark ? "#fff" : "#1d1926";
      paint.lineWidth = width2;
      paint.beginPath();
      paint.arc(...place(n), dot + extra, 0, 7);
      paint.stroke();
    }
  }

  const nearest = (px, py, reach = 18) => {
    let best = -1;
    let least = reach ** 2;
    for (let n = 0; n < ids.length; n += 1) {
      const [qx, qy] = place(n);
      const distance = (qx - px) ** 2 + (qy - py) ** 2;
      if (distance < least) [best, least] = [n, distance];
    }
    return best;
  };

  const track = async (n) => {
    if (!names.has(n)) names.set(n, await fetchTrack(ids[n]));
    return names.get(n);
  };

  async function point(n) {
    if (n === at) return;
    at = n;
    draw();
    tip.hidden = n < 0;
    canvas.style.cursor = n < 0 ? "grab" : "pointer";
    if (n < 0) return;
    const mine = (asked += 1);
    const found2 = await track(n).catch(() => null);
    if (mine !== asked || !found2) return;
    tip.replaceChildren(h("b", {}, found2.title), found2.artist);
    say(`${found2.title} by ${found2.artist}`);
    const [px, py] = place(n);
    tip.style.left = `${Math.min(px + 14, canvas.clientWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(8, Math.min(py + 14, canvas.clientHeight - tip.offsetHeight - 8))}px`;
  }

  const playAt = async (n) => {
    try {
      player.play([{ track: await track(n), reason: "from the map" }]);
    } catch (problem) {
      toast(problem.message);
    }
  };

  const fingers = new Map();
  let moved = 0;
  const local = (event) => {
    const edge = canvas.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, local(event));
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const to = local(event);
    const from = fingers.get(event.pointerId);
    if (!from) return point(nearest(...to));
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const far = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by) || 1;
      zoomBy(far(to, other) / far(from, other), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
    } else {
      view.left += to[0] - from[0];
      view.top += to[1] - from[1];
    }
    moved += Math.abs(to[0] - from[0]) + Math.abs(to[1] - from[1]);
    fingers.set(event.pointerId, to);
    draw();
  });
  const lift = (event) => {
    const there = fingers.delete(event.pointerId);
    if (!there || event.type === "pointercancel" || moved > 6) return;
    const n = nearest(...local(event), 24);
    if (n >= 0) point(n).then(() => playAt(n));
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * 0.0016), ...local(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" && at >= 0) playAt(at);
    else if (turn) {
      if (at < 0) point(Math.max(0, ids.indexOf(player.track?.id)));
      else {
        const [px, py] = place(at);
        let best = at;
        let least = Infinity;
        for (let n = 0; n < ids.length; n += 1) {
          const [dx, dy] = place(n).map((value, axis) => value - [px, py][axis]);
          const along = dx * turn[0] + dy * turn[1];
          const cost = Math.hypot(dx, dy) + 2 * Math.abs(dx * turn[1] + dy * turn[0]);
          if (n !== at && along > 0.5 && cost < least) [best, least] = [n, cost];
        }
        point(best);
      }
    } else if (event.key === "+") zoomBy(1.4);
    else if (event.key === "-") zoomBy(1 / 1.4);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(draw).observe(canvas);
  player.addEventListener("track", draw);
  return box;
}
