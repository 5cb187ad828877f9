// The dots of the map: circles for small collections, pixels that are written directly for large ones.

const MAX_CIRCLES = 5_000;
const DIMMED = 0.12;
const ALPHA = 0.86;

const hue = (cluster) => (cluster * 137.508 + 340) % 360; // the golden angle gives neighbouring numbers different hues
const SATURATION = 68;
const lightness = (dark) => (dark ? 66 : 46);
export const colour = (cluster, dark) => `hsl(${hue(cluster)} ${SATURATION}% ${lightness(dark)}%)`;

// The same colour as a pixel of ImageData (RGBA, little endian). Formula: CSS Color 4, section 7.1.
function pixel(cluster, dark, alpha) {
  const light = lightness(dark) / 100;
  const chroma = (SATURATION / 100) * Math.min(light, 1 - light);
  const channel = (n) => {
    const k = (n + hue(cluster) / 30) % 12;
    return Math.round(255 * (light - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return ((Math.round(alpha * 255) << 24) | (channel(4) << 16) | (channel(8) << 8) | channel(0)) >>> 0;
}

// Return a function that paints all dots.
//   context; width, height: of the canvas in CSS pixels; ratio: device pixels per CSS pixel
//   at: {ax, bx, ay, by}, the position of a point (x, y) is (ax·x + bx, ay·y + by); radius of a dot; dark
//   isOn: Uint8Array by number of the track, 0 for those that are dimmed; or null
export function makeDots({ x, y, clusters }) {
  const order = Int32Array.from(clusters.keys()).sort((a, b) => clusters[a] - clusters[b]); // one colour after the other
  let image = null;

  function paintCircles(context, { width, height, at, radius, dark, isOn }) {
    for (const on of isOn ? [0, 1] : [1]) {
      context.globalAlpha = on ? ALPHA : DIMMED;
      let cluster = -1;
      for (const n of order) {
        if (isOn && isOn[n] !== on) continue;
        const px = at.ax * x[n] + at.bx;
        const py = at.ay * y[n] + at.by;
        if (px < -9 || py < -9 || px > width + 9 || py > height + 9) continue;
        if (clusters[n] !== cluster) {
          if (cluster >= 0) context.fill();
          cluster = clusters[n];
          context.fillStyle = colour(cluster, dark);
          context.beginPath();
        }
        context.moveTo(px + radius, py);
        context.arc(px, py, radius, 0, 7);
      }
      if (cluster >= 0) context.fill();
    }
    context.globalAlpha = 1;
  }

  function paintPixels(context, { ratio, at, radius, dark, isOn }) {
    const { width, height } = context.canvas;
    if (image?.width !== width || image.height !== height) image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    pixels.fill(0);
    const side = Math.max(1, Math.round(2 * radius * ratio));
    for (const on of isOn ? [0, 1] : [1]) {
      let cluster = -1;
      let value = 0;
      for (const n of order) {
        if (isOn && isOn[n] !== on) continue;
        const left = Math.round((at.ax * x[n] + at.bx) * ratio - side / 2);
        const top = Math.round((at.ay * y[n] + at.by) * ratio - side / 2);
        if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
        if (clusters[n] !== cluster) {
          cluster = clusters[n];
          value = pixel(cluster, dark, on ? ALPHA : DIMMED);
        }
        for (let row = top; row < top + side; row += 1) pixels.fill(value, row * width + left, row * width + left + side);
      }
    }
    context.putImageData(image, 0, 0);
  }

  return clusters.length > MAX_CIRCLES ? paintPixels : paintCircles;
}
