"""The page in a real Chromium: silence between tracks, frames of lists and of the map, and presses.

Every track is a tone, so that silence is what lies between two tones. Run `python -m tests.bench.bench_page`.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from jobs.lake.storage import Lake
from tests import browser, synthetic_lake
from tests.services.player import free_port, healthy, open_page, start, stop, until, wait_for

# Frames of a block that is loud or silent: 5.8 ms at 44.1 kHz.
_BLOCK = 256

# In the page: whether each block of the sum of both audio elements is loud.
_TAP = f"""() => {{
  const context = new AudioContext();
  const tap = context.createScriptProcessor({_BLOCK}, 1, 1);
  window.blocks = [];
  tap.onaudioprocess = (event) => {{
    let peak = 0;
    for (const value of event.inputBuffer.getChannelData(0)) peak = Math.max(peak, Math.abs(value));
    blocks.push(peak > 0.02);
  }};
  for (const audio of segue.audios) context.createMediaElementSource(audio).connect(tap);
  tap.connect(context.destination);
  return context.sampleRate;
}}"""


def silences(blocks: list[bool], sample_rate: float) -> list[float]:
    """Return the lengths in milliseconds of the silences between loud blocks."""
    found: list[float] = []
    length = 0
    is_after_sound = False
    for is_loud in blocks:
        if is_loud:
            if length and is_after_sound:
                found.append(1000 * length * _BLOCK / sample_rate)
            length, is_after_sound = 0, True
        else:
            length += 1
    return found


def serve(stack: ExitStack, lake: Lake, **context: object) -> Page:
    """Start serving over a lake; return the page."""
    port = free_port()
    stack.callback(stop, start(lake.root, "serving", "serve", "--port", str(port)))
    address = f"http://127.0.0.1:{port}"
    wait_for(lambda: healthy(address))
    return open_page(
        stack.enter_context(browser.chromium())[1], address, **{"service_workers": "allow", **context}
    )


def measure_gaps(n_tracks: int) -> list[float]:
    """Play tracks to their ends; return the silences in milliseconds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "lake"
        page = serve(stack, synthetic_lake.make(folder, seconds=6.0))
        page.click("#start")
        until(page, "() => segue.playing")
        sample_rate = page.evaluate(_TAP)
        page.evaluate(
            "count => fetch(`/api/tracks?limit=${count}`).then((answer) => answer.json())"
            ".then(({items}) => segue.play(items))",
            n_tracks,
        )
        until(page, "() => segue.playing && segue.position > 1")
        page.evaluate("blocks.length = 0")
        for number in range(1, n_tracks):
            until(page, f"() => segue.index === {number} && segue.position > 1")
        blocks = page.evaluate("blocks")
    return silences(blocks, sample_rate)


# In the page: scroll by 300 pixels a frame; return the lengths of the frames in milliseconds.
_SCROLL = """() => new Promise((resolve) => {
  const main = document.querySelector("main");
  const frames = [];
  let last = performance.now();
  const step = (now) => {
    frames.push(now - last);
    last = now;
    main.scrollTop += 300;
    if (frames.length < 400) requestAnimationFrame(step);
    else resolve(frames.slice(1));
  };
  requestAnimationFrame(step);
})"""

# In the page: how long each press took until the next frame, in milliseconds.
_PRESSES = """
window.presses = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (entry.name === "click") presses.push(entry.duration);
}).observe({type: "event", durationThreshold: 16, buffered: true});
"""


def measure_scrolling() -> tuple[list[float], list[float], int]:
    """Scroll and press in 20,000 tracks; return lengths of frames and presses, and the most nodes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "lake"
        page = serve(stack, synthetic_lake.make_large(folder), scripts=[_PRESSES])
        frames: list[float] = []
        n_nodes = 0
        for view in ("tracks", "albums", "artists"):
            page.click(f".nav [href='#/{view}']")
            page.wait_for_selector(f"main[data-address='#/{view}'] .virtual li")
            frames += page.evaluate(_SCROLL)
            n_nodes = max(n_nodes, page.locator("main *").count())
            for letter in "MZA" if view != "tracks" else "":  # all titles have the same letter
                page.locator(".letters").get_by_role("button", name=letter, exact=True).click()
            page.click("[aria-label='Reverse the order']")
            page.wait_for_selector(".browse:not([aria-busy]) .virtual li a")
        page.locator("main .card a").first.click()
        page.wait_for_selector(".head")
        page.wait_for_timeout(500)
        return frames, page.evaluate("presses"), n_nodes


# In the page: zoom into the map and out of it and drag it; return the lengths of the frames, in milliseconds.
_MOVE_MAP = """() => new Promise((resolve) => {
  const canvas = document.querySelector(".mapbox canvas");
  const box = canvas.getBoundingClientRect();
  const [clientX, clientY] = [box.left + box.width / 2, box.top + box.height / 2];
  const frames = [];
  let last = performance.now();
  const step = (now) => {
    frames.push(now - last);
    last = now;
    const deltaY = frames.length % 100 < 50 ? -30 : 30;
    canvas.dispatchEvent(new WheelEvent("wheel", {deltaY, clientX, clientY, cancelable: true}));
    if (frames.length < 200) requestAnimationFrame(step);
    else resolve(frames.slice(1));
  };
  requestAnimationFrame(step);
})"""


def measure_map(n_tracks: int) -> list[float]:
    """Move a map of random clusters; return the lengths of the frames in milliseconds."""
    rng = np.random.default_rng(0)
    clusters = np.sort(rng.integers(0, 40, n_tracks))
    centres = rng.uniform(-0.9, 0.9, (40, 2))
    points = np.clip(centres[clusters] + rng.normal(0, 0.12, (n_tracks, 2)), -1, 1).round(4)
    names = [
        {"cluster": n, "name": f"Cluster {n}", "tracks": 1, "x": float(x), "y": float(y)}
        for n, (x, y) in enumerate(centres)
    ]
    data = {"model_version": "1", "ids": [f"m{n}" for n in range(n_tracks)], "clusters": clusters.tolist()}
    data |= {"x": points[:, 0].tolist(), "y": points[:, 1].tolist(), "names": names}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "lake"
        page = serve(stack, synthetic_lake.make(folder), service_workers="block")  # route
        page.route("**/api/map", lambda route: route.fulfill(json=data))
        page.evaluate("location.hash = '#/map'")
        page.wait_for_selector(".mapbox canvas")
        page.wait_for_timeout(500)
        frames: list[float] = page.evaluate(_MOVE_MAP)
        return frames


def describe(name: str, values: list[float]) -> str:
    """Return median, 95th percentile and maximum in words."""
    if not values:
        return f"{name}: none"
    p50, p95 = np.percentile(values, [50, 95])
    return f"{name}: {len(values)}, p50 {p50:.0f} ms, p95 {p95:.0f} ms, at most {max(values):.0f} ms"


if __name__ == "__main__":
    print(describe("silences in 20 changes of track", measure_gaps(21)))
    all_frames, all_presses, most_nodes = measure_scrolling()
    print(describe("frames", all_frames), describe("presses over 16 ms", all_presses), sep="\n")
    print(describe("frames of a map of 100,000 tracks", measure_map(100_000)))
    print(f"at most {most_nodes} nodes in the view")
