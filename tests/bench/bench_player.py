"""Latency of live recommendations: from the end or skip of a track to new recommendations on the screen.

Measured with Chromium, serving, Kafka, the stream and MongoDB. Run `python -m tests.bench.bench_player
[plays]`.
"""

import os
import sys
import tempfile
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.runtime import embedded_kafka, embedded_mongo, stream_status
from jobs.steps import recommend
from tests import browser, synthetic_lake
from tests.services.player import free_port, healthy, open_page, publish, start, stop, until, wait_for

# Seconds without a change before the next play starts, so that the next change is the effect of that play.
QUIET_S = 2.5

# In the page: the times of the last reported event, and of the first different list on the screen after it.
_WATCH = """
window.watch = {reported: 0, visible: 0, changed: 0, list: ""};
const originalFetch = window.fetch;
window.fetch = (to, options) => {
  const isEnd = String(to).endsWith("/api/events") && /finished|skipped/.test(options?.body);
  if (isEnd) Object.assign(watch, {reported: performance.now(), visible: 0});
  return originalFetch(to, options);
};
addEventListener("load", () => segue.addEventListener("recommended", () => {
  const list = JSON.stringify(segue.recommended.map((item) => [item.track.id, item.reason]));
  if (list === watch.list) return;
  Object.assign(watch, {list, changed: performance.now()});
  requestAnimationFrame(() => requestAnimationFrame(() => (watch.visible ||= performance.now())));
}));
"""


def run(plays: int) -> tuple[list[float], list[float]]:
    """Return the latencies in seconds after tracks that ended, and after tracks that were skipped."""
    ended: list[float] = []
    skipped: list[float] = []
    with ExitStack() as stack:
        lake = synthetic_lake.make(
            Path(stack.enter_context(tempfile.TemporaryDirectory())) / "lake", seconds=20.0
        )
        address = serve(stack, lake)
        program = stack.enter_context(browser.chromium())[1]
        page = open_page(program, address, scripts=[_WATCH])
        page.click("#start")
        for number in range(plays):
            until(page, "() => segue.playing && segue.started")
            until(
                page, f"() => performance.now() - Math.max(watch.changed, watch.reported) > {1000 * QUIET_S}"
            )
            if number % 2:
                page.keyboard.press("n")
            else:
                page.evaluate("segue.seek(segue.duration - 0.2)")
            until(page, "() => watch.visible > watch.reported")
            latency_s = page.evaluate("watch.visible - watch.reported") / 1000
            (skipped if number % 2 else ended).append(latency_s)
        page.close()
    return ended, skipped


def serve(stack: ExitStack, lake: Lake) -> str:
    """Start MongoDB, Kafka, the stream and serving as `segue up` does; return the player's address."""
    uri = stack.enter_context(embedded_mongo.mongo_uri(None, lake.root))
    stack.enter_context(embedded_kafka.kafka_address(None, lake.root))
    with mongo.database(uri) as database:
        publish(database, lake)
    recommend.main(Namespace(lake=str(lake.root), mongo=uri, master="local[1]"))
    port = free_port()
    for name, *arguments in (("stream", "stream"), ("serving", "serve", "--port", str(port))):
        stack.callback(stop, start(lake.root, name, *arguments))
    address = f"http://127.0.0.1:{port}"
    wait_for(lambda: (healthy(address) or {}).get("mongo"))
    wait_for(lambda: stream_status.is_alive(lake.root))
    return address


def main() -> None:
    """Measure and print the latencies."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    ended, skipped = run(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    for name, seconds in (("ended", ended), ("skipped", skipped), ("both", ended + skipped)):
        if seconds:
            p50, p95 = np.percentile(seconds, [50, 95])
            percentiles = f"p50 {p50:.2f} s   p95 {p95:.2f} s   max {max(seconds):.2f} s"
            print(f"{name:8} {len(seconds):3} tracks   {percentiles}")


if __name__ == "__main__":
    main()
