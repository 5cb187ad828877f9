"""Shared by all tests: the real recordings, small signals as files, the demo library; no skips in CI."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# No other import up here: `pytest` of one file must start at once. The fixtures import what they need.

# Java's second compiler pays off after minutes; with tables of a dozen rows it takes a quarter of a small
# step's time. This holds for every Java that a test starts, unless the variable is set already.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

# No test reaches ListenBrainz or Last.fm.
os.environ["SEGUE_LISTENBRAINZ"] = os.environ["SEGUE_LASTFM"] = "http://127.0.0.1:9"

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow folders first: with parallel workers the last files should be short."""
    order = {"dags": 0, "services": 1, "spark": 2, "unit": 3}
    items.sort(key=lambda item: order.get(item.path.parent.name, 4))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # noqa: ANN201
    """Turn a skip into a failure if CI is set: a test that does not run proves nothing."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder of real recordings beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the real recordings are not at {SHARED}")
    return SHARED


@pytest.fixture
def tone(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a stereo tone with a beat; the extension is the format."""

    import numpy as np
    import soundfile

    def write(name: str, *, seconds: float = 3.0, frequency: float = 440.0, rate: int = 44_100) -> Path:
        time = np.arange(int(seconds * rate)) / rate
        left = (
            0.4 * np.sin(2 * np.pi * frequency * time) * (0.6 + 0.4 * np.sign(np.sin(2 * np.pi * 2 * time)))
        )
        right = 0.3 * np.sin(2 * np.pi * 1.5 * frequency * time)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([left, right], axis=1), rate)
        return path

    return write


@pytest.fixture(scope="session")
def object_store() -> Iterator[Any]:
    """An S3 server behind a proxy that injects faults: `tests.object_store.FaultProxy`."""
    from tests.object_store import served_store

    with served_store() as proxy:
        yield proxy


@pytest.fixture
def store_url(object_store: Any) -> str:
    """An address in that store below which nothing is yet."""
    from tests.object_store import BUCKET

    return f"s3://{BUCKET}/{secrets.token_hex(4)}/lake"


@pytest.fixture(params=["folder", "store"])
def any_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty lake: in a folder, then in an object store."""
    from jobs.lake.storage import Lake

    store = request.getfixturevalue("store_url") if request.param == "store" else None
    return Lake(tmp_path / "lake", store)


@pytest.fixture(scope="session")
def demo_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a function that writes the first clips of the demo library, once for all tests."""
    from jobs.cli import parse
    from jobs.commands import demo

    folders: dict[int, Path] = {}

    def make(count: int) -> Path:
        if count not in folders:
            folders[count] = tmp_path_factory.mktemp("demo") / "library"
            demo.main(parse(["demo", "--out", str(folders[count]), "--tracks", str(count)]))
        return folders[count]

    return make
