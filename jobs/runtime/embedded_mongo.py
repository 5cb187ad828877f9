"""The embedded MongoDB: mongo-java-server, which speaks MongoDB's protocol, with its data in the lake.

`embedded_server.py` starts, shares and stops it. Its store is H2's MVStore, one file, written by
append and compacted in the background.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError
from pymongo.errors import PyMongoError

from jobs.runtime import embedded_server, jvm_gateway

log = logging.getLogger("segue")

_JAVA_OPTIONS = [
    # A find or a count without `_id` loads the whole collection: 60,000 tracks with their features (7 KB
    # each) need 1.7 GB of heap. Less than a quarter of the memory would limit the size of a library, more
    # does not fit beside Spark. With this collector the heap grows only as needed: 200 MB for a small
    # library.
    "-XX:MaxRAMPercentage=25",
    # By default a VM starts with a 64th of the machine's memory, and fills it before it collects garbage.
    "-Xms64m",
    "-XX:+UseSerialGC",
    # Otherwise the process lives on with its port open and does not answer.
    "-XX:+ExitOnOutOfMemoryError",
    # The VM's own messages go to the log: stdout is for the gateway's port and token.
    "-XX:+DisplayVMOutputToStderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]

# Documents are written to the file after this many milliseconds, or KiB.
_COMMIT_INTERVAL_MS = 10
_WRITE_BUFFER_KIB = 1_024

# Size of a page in bytes. A write of one document rewrites its page: with H2's default of 16 KiB the stream
# needs a fifth more time per play.
_PAGE_BYTES = 4_096

# The file keeps replaced pages this long. With H2's default of 45,000 ms it is six times as large.
_RETENTION_MS = 10_000

# The store compacts the file while less than this share of it (in percent) is in use. With H2's default of 90
# it writes some nine bytes for each byte replaced, as long as there are writes; with a million users it never
# ends (docs/benchmarks/).
_MIN_FILL_PERCENT = 50

# Versions of the store, one per commit at most, that stay readable. A find over a whole collection reads the
# version that was current when it began; with H2's default of 5 its pages are gone after 50 ms ("Chunk not
# found").
_READABLE_VERSIONS = 400

# Error codes of org.h2.mvstore.DataUtils that do not mean a damaged file: 2 writing failed, 7 file locked.
_CODES_WITHOUT_DAMAGE = (2, 7)


@contextmanager
def mongo_uri(uri: str | None, lake: Path) -> Iterator[str]:
    """Give the address of MongoDB: `uri`, or, if it is None, that of the lake's embedded server."""
    if uri is not None:
        yield uri
        return
    with embedded_mongo(lake / "mongo") as embedded_uri:
        yield embedded_uri


@contextmanager
def embedded_mongo(data: Path) -> Iterator[str]:
    """Give the address of the embedded server over `data`, which is started if it does not run."""
    with embedded_server.connect_or_start(MONGO, data) as uri:
        yield uri


def _is_answering(uri: str) -> bool:
    """Return whether the server finds a document.

    Out of memory it keeps its port open and even answers a ping.
    """
    limit_ms = embedded_server.ANSWER_LIMIT_S * 1000
    try:
        with pymongo.MongoClient[dict[str, Any]](
            uri, serverSelectionTimeoutMS=limit_ms, socketTimeoutMS=limit_ms, connectTimeoutMS=limit_ms
        ) as client:
            client.admin.command("ping")
            client.get_default_database()["state"].find_one({"_id": "champion"})
    except PyMongoError:
        return False
    return True


def _serve(gateway: JavaGateway, data: Path) -> str:
    """Open the store and bind the server to a free port; return its address."""
    backend = _open(gateway.jvm, data / "segue.mv.db")
    server = gateway.jvm.de.bwaldvogel.mongo.MongoServer(backend)
    # On shutdown stop the server, then close the store, which writes what is still in its buffer. In this
    # order a write that was acknowledged is not lost.
    jvm_gateway.add_shutdown_hook(gateway.jvm, server, "shutdownNow")
    server.bind("127.0.0.1", 0)
    return f"mongodb://127.0.0.1:{int(server.getLocalAddress().getPort())}/segue"


def _open(jvm: Any, file: Path) -> Any:
    """Open the store.

    A damaged file is renamed and an empty one created: everything in it can be rebuilt from the lake.
    """
    try:
        return _open_backend(jvm, file)
    except Py4JJavaError as error:
        code = getattr(error.java_exception, "getErrorCode", lambda: 0)()
        if code in _CODES_WITHOUT_DAMAGE or not os.access(file, os.R_OK | os.W_OK):
            raise
        number = 1 + len(list(file.parent.glob(f"{file.name}.damaged-*")))
        renamed = file.with_name(f"{file.name}.damaged-{number}")
        file.rename(renamed)
        message = "%s is damaged: renamed to %s, and the store starts empty; run `segue publish` to fill it"
        log.warning(message, file, renamed.name)
        return _open_backend(jvm, file)


def _open_backend(jvm: Any, file: Path) -> Any:
    """Open the file so that a kill -9 loses at most the last milliseconds of writes, in their order.

    Everything in the store follows from the lake, and each writer checks at its start whether it is complete.
    Writing every document at once would cost six times as much; with H2's defaults the last second of writes
    would be lost.
    """
    builder = getattr(jvm.org.h2.mvstore, "MVStore$Builder")
    settings = (
        builder().fileName(str(file)).autoCommitBufferSize(_WRITE_BUFFER_KIB).pageSplitSize(_PAGE_BYTES)
    )
    store = settings.autoCompactFillRate(_MIN_FILL_PERCENT).compress().open()
    store.setRetentionTime(_RETENTION_MS)
    store.setVersionsToKeep(_READABLE_VERSIONS)
    store.setAutoCommitDelay(_COMMIT_INTERVAL_MS)
    try:
        return jvm.de.bwaldvogel.mongo.backend.h2.H2Backend(store)
    except Py4JJavaError:
        store.closeImmediately()
        raise


MONGO = embedded_server.EmbeddedServer(
    name="mongo",
    title="MongoDB",
    jars="mongo",
    options=lambda data: _JAVA_OPTIONS,
    serve=_serve,
    is_answering=_is_answering,
)


if __name__ == "__main__":
    embedded_server.serve_forever(MONGO, Path(sys.argv[1]))
