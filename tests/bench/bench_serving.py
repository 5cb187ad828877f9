"""The player's endpoint under load: recommendations, search, events, audio streams, event streams, memory.

    .venv/bin/python -m tests.bench.bench_serving --tracks 100000

A lake of so many tracks is synthetic (titles and names of made-up words, a handful of real files), MongoDB
holds a list of 20 recommendations for each of 400 listeners, Kafka is away. The server gets one core, the
generator of requests another. Rates are open: a request is sent when its time has come, whether those before
it are answered or not, and its latency counts from that time. Every answer is read whole and checked.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import numpy as np
import psutil
import pyarrow as pa
import soundfile

from jobs.lake.schemas import EMBEDDINGS, FILES, TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.runtime import embedded_mongo
from serving.db.accounts import Accounts
from serving.db.database import Database

LISTENERS, FILES_OF_AUDIO, SECONDS_OF_AUDIO = 400, 20, 90
HEADERS = {"Content-Type": "application/json"}


def plant(folder: Path, count: int) -> list[str]:
    """Write the lake, its accounts and MongoDB; return the listeners' app passwords."""
    rng, lake = np.random.default_rng(0), Lake(folder)
    letters = np.array(list("abcdefghijklmnoprstuvw"))
    words = ["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(12_000)]
    audio = folder / "audio"
    audio.mkdir()
    for number in range(FILES_OF_AUDIO):
        noise = 0.1 * rng.standard_normal(SECONDS_OF_AUDIO * 8000)
        soundfile.write(audio / f"{number}.ogg", noise, 8000)
    # As in a language, a few words are in many titles.
    picked = np.minimum(rng.zipf(1.3, (count, 6)) - 1, len(words) - 1)
    rows = [_track_row(number, words, picked[number], audio) for number in range(count)]
    lake.commit_arrow(TRACKS, [pa.RecordBatch.from_pylist(rows, TRACKS.arrow_schema())])
    lake.commit_arrow(
        FILES, [pa.RecordBatch.from_pylist([{"path": "x", "library": str(audio)}], FILES.arrow_schema())]
    )
    vectors = rng.standard_normal((count, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = [["1"] * count, [row["track_id"] for row in rows], list(vectors), [0] * count]
    arrays = [
        pa.array(values, field.type) for values, field in zip(columns, EMBEDDINGS.arrow_schema(), strict=True)
    ]
    lake.commit_arrow(EMBEDDINGS, [pa.RecordBatch.from_arrays(arrays, schema=EMBEDDINGS.arrow_schema())])
    accounts_database = Database(folder)
    accounts = Accounts(accounts_database)
    accounts.add("admin", "the password of the bench", admin=True)
    secrets = [accounts.add_app_password(f"listener{number}", "bench").secret for number in range(LISTENERS)]
    accounts_database.close()
    with embedded_mongo.embedded_mongo(folder / "mongo") as uri, mongo.database(uri) as database:
        mongo.upsert(
            database["recommendations"], (_list(f"listener{n}", rng, count) for n in range(LISTENERS))
        )
        mongo.upsert(
            database["state"], [{"_id": "champion", "model_version": "1", "tracks": count, "digest": ""}]
        )
    return secrets


def _track_row(number: int, words: list[str], picked: np.ndarray, audio: Path) -> dict[str, Any]:
    """Return a row of TRACKS with every tag; ten tracks make an album, every third has a guest."""
    album = number // 10
    artist = f"{words[album % 9000]} {words[(album * 7) % 9000]}"
    artists = [artist] if number % 3 else [artist, words[number % 9000]]
    path = str(audio / f"{number % FILES_OF_AUDIO}.ogg")
    return {
        "track_id": f"{number:06d}",
        "path": path,
        "audio_path": path,
        "title": " ".join(words[n] for n in picked[:3]),
        "artist": " feat. ".join(artists),
        "artists": artists,
        "album": " ".join(words[(album * n) % 9000] for n in (3, 11)),
        "album_artist": artist,
        "album_artists": [artist],
        "track_no": number % 10 + 1,
        "disc_no": 1,
        "year": 1960 + album % 60,
        "genre": words[number % 160],
        "genres": [words[number % 160], words[album % 160]],
        "duration_s": float(SECONDS_OF_AUDIO),
        "bit_rate": 64_000,
        "recording_id": f"{number:06d}",
        "mtime_ns": 10**18 + album * 10**12,
        "added_ns": 10**18 + album * 10**12,
        "source": "tags",
        "artist_sort": artist,
        "album_artist_sort": artist,
        "release_date": f"{1960 + album % 60}-07-19",
        "original_date": str(1960 + album % 60),
        "bpm": 60.0 + number % 120,
        "comment": f"ripped from {album}",
        "isrcs": [f"GBAYE{number:07d}"],
        **dict.fromkeys(("track_gain_db", "track_peak", "album_gain_db", "album_peak"), -6.5 + number % 7),
        **{name: _mbid(number) for name in ("recording_mbid", "release_track_mbid")},
        "release_mbid": _mbid(album),
        **{name: [_mbid(album % 9000)] for name in ("artist_mbids", "album_artist_mbids")},
        "sample_rate": 44_100,
        "channels": 2,
        "bit_depth": 16,
    }


def _mbid(number: int) -> str:
    return str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


def _list(name: str, rng: np.random.Generator, count: int) -> dict[str, Any]:
    chosen = rng.choice(count, 20, replace=False)
    items = [
        {
            "rank": rank,
            "track_id": f"{n:06d}",
            "score": 0.9,
            "reason": "sounds like something, which you finished twice",
        }
        for rank, n in enumerate(chosen, 1)
    ]
    return {"_id": name, "model_version": "1", "as_of": datetime.now(UTC), "items": items}


def print_latencies(name: str, latencies: list[float], extra: str = "") -> None:
    """Print a line of percentiles."""
    p50, p95, p99 = (1000 * float(np.percentile(latencies, q)) for q in (50, 95, 99))
    print(
        f"{name:<44} p50 {p50:7.1f}  p95 {p95:7.1f}  p99 {p99:7.1f} ms  of {len(latencies):,} {extra}",
        flush=True,
    )


async def at_rate(session: aiohttp.ClientSession, rate: float, seconds: float, make: Any) -> list[float]:
    """Send requests at a rate; return each one's latency from the time it was due."""
    latencies: list[float] = []

    async def one(number: int, due: float) -> None:
        method, path, headers, body = make(number)
        async with session.request(method, path, headers=headers, data=body) as answer:
            content = await answer.read()
            assert answer.status < 300 and content, answer.status
        latencies.append(time.perf_counter() - due)

    begun, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    return latencies


async def measure(base: str, secrets: list[str], server: psutil.Process, count: int) -> None:
    """Ask all of it, and print."""
    bearer = [{"Authorization": f"Bearer {secret}"} for secret in secrets]
    rng = np.random.default_rng(1)
    titles = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        base, connector=connector, timeout=aiohttp.ClientTimeout(None)
    ) as session:
        for offset in rng.integers(0, count - 1, 40):
            async with session.get(f"/api/tracks?limit=5&offset={offset}", headers=bearer[0]) as answer:
                titles += [track["title"] for track in (await answer.json())["items"]]

        def recommended(number: int) -> Any:
            return "GET", "/api/recommendations", bearer[number % len(bearer)], None

        def search(number: int) -> Any:
            words = titles[number % len(titles)].split()
            query = words[0][: 2 + number % 4] if number % 2 else f"{words[0]} {words[-1][:3]}"
            return "GET", f"/api/tracks?q={query}", bearer[number % len(bearer)], None

        def event(number: int) -> Any:
            body = json.dumps({"track_id": f"{number % count:06d}", "event": "finished", "position_s": 30.0})
            return "POST", "/api/events", {**bearer[number % len(bearer)], **HEADERS}, body

        print(
            f"memory at rest: {server.memory_full_info().pss >> 20} MiB (PSS), {count:,} tracks", flush=True
        )
        await at_rate(session, 100, 5, recommended)  # every listener's list once, as a page begins
        for rate in (100, 500):
            used = sum(server.cpu_times()[:2])
            latencies = await at_rate(session, rate, 20, recommended)
            cost = 1000 * (sum(server.cpu_times()[:2]) - used) / len(latencies)
            print_latencies(f"recommendations, {rate}/s", latencies, f"({cost:.2f} ms of CPU each)")
        print_latencies("search, 30/s", await at_rate(session, 30, 20, search))
        print_latencies("events, Kafka away, 100/s", await at_rate(session, 100, 20, event))
        await audio_streams(session, bearer)
        await event_streams(session, bearer, server)
        print_latencies(
            "recommendations, 100/s, beside 1,000 streams", await at_rate(session, 100, 10, recommended)
        )
        print(f"memory at the end: {server.memory_full_info().pss >> 20} MiB (PSS)", flush=True)


async def audio_streams(session: aiohttp.ClientSession, bearer: list[dict[str, str]]) -> None:
    """Two hundred players, each fetching a track at twice the speed of playing, in parts as browsers do."""
    waits: list[float] = []
    rate = 2 * 64_000 / 8

    async def listener(number: int) -> None:
        await asyncio.sleep(number / 200)
        position, path = 0, f"/api/tracks/{number:06d}/audio"
        for _ in range(8):
            begun = time.perf_counter()
            headers = {**bearer[number % len(bearer)], "Range": f"bytes={position}-{position + 16_383}"}
            async with session.get(path, headers=headers) as answer:
                assert answer.status == 206
                position += len(await answer.read())
            waits.append(time.perf_counter() - begun)
            await asyncio.sleep(max(0.0, 16_384 / rate - (time.perf_counter() - begun)))

    await asyncio.gather(*(listener(number) for number in range(200)))
    print_latencies("200 audio streams at 128 kbit/s, 16 KiB parts", waits)


async def event_streams(
    session: aiohttp.ClientSession, bearer: list[dict[str, str]], server: psutil.Process
) -> None:
    """Open a thousand streams of server-sent events and keep them to the end."""
    before = server.memory_full_info().pss
    opened: list[float] = []

    async def stream(number: int) -> None:
        begun = time.perf_counter()
        with suppress(aiohttp.ClientError, asyncio.CancelledError):
            async with session.get("/api/events/stream", headers=bearer[number % len(bearer)]) as answer:
                async for line in answer.content:
                    if line.startswith(b"event: recommendations"):
                        opened.append(time.perf_counter() - begun)

    tasks = [asyncio.create_task(stream(number)) for number in range(1000)]
    while len(opened) < 1000 and not all(task.done() for task in tasks):
        await asyncio.sleep(0.1)
    grown = (server.memory_full_info().pss - before) >> 20
    print_latencies("1,000 event streams, to the first list", opened, f"(+{grown} MiB)")
    globals()["_held"] = tasks


def main() -> None:
    """Plant, serve, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=100_000)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as name:
        folder = Path(name) / "lake"
        secrets = plant(folder, arguments.tracks)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        begun = time.perf_counter()
        with embedded_mongo.embedded_mongo(folder / "mongo"):  # outside the server's core
            command = [
                str(Path(sys.executable).with_name("segue")),
                "serve",
                "--lake",
                str(folder),
                "--port",
                str(port),
            ]
            server = subprocess.Popen(command)
            os.sched_setaffinity(server.pid, cores[:1])
            os.sched_setaffinity(0, cores[1:] or cores)
            try:
                while True:
                    time.sleep(0.1)
                    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                        break
                time.sleep(3)
                print(f"start: {time.perf_counter() - begun - 3:.1f} s", flush=True)
                asyncio.run(
                    measure(f"http://127.0.0.1:{port}", secrets, psutil.Process(server.pid), arguments.tracks)
                )
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)


if __name__ == "__main__":
    main()
