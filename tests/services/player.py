"""What the tests of the player share.

A server over the synthetic lake, and how to wait for it and for its page.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np

from jobs.lake.schemas import EMBEDDINGS
from jobs.model.clustered_vectors import open_vectors
from jobs.online import collection_map, mongo
from tests.services.conftest import SEGUE, environment

# Milliseconds that a machine under load may take over what takes milliseconds.
PATIENCE = 20_000


def publish(database, lake):
    """What `segue publish` writes, of the synthetic vectors."""
    rows = lake.read_arrow(EMBEDDINGS).to_pylist()
    vectors, ids = np.array([row["embedding"] for row in rows]), [row["track_id"] for row in rows]
    similar = []
    for row, scores in zip(rows, vectors @ vectors.T, strict=True):
        order = [n for n in np.argsort(-scores) if ids[n] != row["track_id"]][:20]
        items = [{"track_id": ids[n], "score": float(scores[n])} for n in order]
        similar.append({"_id": f"1:{row['track_id']}", "items": items, "cluster": row["cluster"]})
    mongo.upsert(database["similar"], similar)
    champion = {"_id": "champion", "model_version": "1", "tracks": len(ids), "digest": "synthetic"}
    champion["published_at"] = datetime.now(UTC)
    mongo.upsert(database["state"], [champion])
    documents = collection_map.map_documents(open_vectors(lake, "1"), "1")
    collection_map.write_map(database, "1", "synthetic", documents)


def recommend(database, *track_ids):
    """Write the listener's list, as the stream does."""
    items = [
        {"track_id": each, "rank": rank, "score": 0.5, "reason": "sounds like Song A of 0, which you like"}
        for rank, each in enumerate(track_ids, 1)
    ]
    document = {
        "_id": "local",
        "model_version": "1",
        "as_of": datetime.now(UTC),
        "offsets": {},
        "items": items,
    }
    mongo.upsert(database["recommendations"], [document])


def free_port():
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, name, *words):
    """Start a command of Segue's in a session of its own, its words in a log."""
    out = (folder / f"{name}.log").open("ab")
    return subprocess.Popen(
        [SEGUE, *words], env=environment(folder), stdout=out, stderr=out, start_new_session=True
    )


def stop(process, number=signal.SIGTERM):
    """End what `start` has started."""
    os.killpg(process.pid, number)
    process.wait(30)


def wait_for(condition, seconds=90):
    """Wait until a function gives something true; return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return found


def get(address, path, *, headers=None, body=None):
    """Ask, or (with a body) tell the server something; return the answer's JSON."""
    given = {**(headers or {}), **({"Content-Type": "application/json"} if body is not None else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}/{path}", data, given), timeout=60
    ) as answer:
        return json.loads(answer.read())


def healthy(address):
    """What the server says of itself; None if it does not answer."""
    with suppress(OSError):
        return get(address, "api/health")


def open_page(program, address, *, scripts=(), **context):
    """The page in a context of its own, every line of its console kept in `console`.

    Without its service worker, unless the context has one: Playwright does not route that one's requests.
    """
    usual = {"viewport": {"width": 1280, "height": 800}, "service_workers": "block"}
    page = program.new_context(**{**usual, **context}).new_page()
    page.set_default_timeout(PATIENCE)
    page.console = []
    blocked = "Service Worker registration blocked by Playwright"
    page.on("console", lambda message: message.text != blocked and page.console.append(message.text))
    page.on("pageerror", lambda error: page.console.append(f"error: {error}"))
    for script in scripts:
        page.add_init_script(script)
    page.goto(address)
    page.wait_for_selector("#start")
    return page


def until(page, condition, arg=None):
    """Wait until a JavaScript function of `arg` is true.

    Playwright's own waits would need the page to allow eval.
    """
    return wait_for(lambda: page.evaluate(condition, arg), PATIENCE / 1000)
