"""MongoDB: a projection of the lake that serving and the stream read. No other module talks to it.

Written for what both a real MongoDB and the embedded server do: single documents by `_id`, bulks of upserts, no
transactions. Whoever reads starts at `settings.champion`, which is written last.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pymongo
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConfigurationError, InvalidURI, PyMongoError

from jobs.errors import InputError, StepError

Document = dict[str, Any]

# Documents of one bulk: some 1 MB of tracks, far below the protocol's 48 MB.
_BULK = 250

# What MongoDB says of an `_id` that is there.
_DUPLICATE = 11000

# Seconds to wait for a server before saying that it is not there.
_TIMEOUT_S = 10.0


@contextmanager
def database(uri: str, *, timeout_s: float = _TIMEOUT_S) -> Iterator[Database[Document]]:
    """Connect to the database that the address names (`segue` where it names none); a server may take `timeout_s` to appear.

    InputError for an address that is none, StepError where no server answers.
    """
    try:
        client: pymongo.MongoClient[Document] = pymongo.MongoClient(
            uri, serverSelectionTimeoutMS=int(timeout_s * 1000), tz_aware=True
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise InputError(
            f"--mongo: expected an address as in mongodb://host:27017/segue, found {uri!r}: {error}"
        ) from error
    with client:
        try:
            client.admin.command("ping")
            yield client.get_default_database("segue")
        except PyMongoError as error:
            host = uri.rsplit("@", 1)[-1]  # never a password in a message
            raise StepError(
                f"--mongo: expected MongoDB to answer at {host}, found: {str(error)[:200]}"
            ) from error


def upsert(collection: Collection[Document], documents: Iterable[Document]) -> int:
    """Write documents by `_id`, in bulks; writing the same again changes nothing. Return their number."""
    rest, count = iter(documents), 0
    while bulk := list(islice(rest, _BULK)):
        writes = [pymongo.ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in bulk]
        collection.bulk_write(writes, ordered=False)
        count += len(bulk)
    return count


def merge(collection: Collection[Document], documents: Iterable[Document]) -> int:
    """Set the documents' fields by `_id`, in bulks, and leave what other fields are there. Return their number."""
    rest, count = iter(documents), 0
    while bulk := list(islice(rest, _BULK)):
        writes = [
            pymongo.UpdateOne({"_id": document["_id"]}, {"$set": document}, upsert=True) for document in bulk
        ]
        collection.bulk_write(writes, ordered=False)
        count += len(bulk)
    return count


def delete(collection: Collection[Document], ids: Iterable[str]) -> int:
    """Delete documents by `_id`, in bulks; return how many were there."""
    rest, count = iter(ids), 0
    while bulk := list(islice(rest, _BULK)):
        count += collection.bulk_write(
            [pymongo.DeleteOne({"_id": each}) for each in bulk], ordered=False
        ).deleted_count
    return count


def ids(collection: Collection[Document]) -> Iterator[str]:
    """Yield every document's `_id`."""
    for document in collection.find({}, {"_id": 1}).batch_size(_BULK):
        yield document["_id"]


def find(collection: Collection[Document], wanted: Iterable[str], *fields: str) -> Iterator[Document]:
    """Yield the documents of these ids, those that are there; only some fields of them, or all."""
    rest, shown = iter(wanted), dict.fromkeys(fields, 1) or None
    while some := list(islice(rest, _BULK)):
        yield from collection.find({"_id": {"$in": some}}, shown)


def insert_missing(collection: Collection[Document], documents: Iterable[Document]) -> Iterator[Document]:
    """Insert documents whose `_id` is not there; yield those that stand in the way of the others."""
    rest = iter(documents)
    while bulk := list(islice(rest, _BULK)):
        try:
            collection.insert_many(bulk, ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            if any(each["code"] != _DUPLICATE for each in failed):
                raise
            yield from find(collection, [bulk[each["index"]]["_id"] for each in failed])


def batched(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield documents, some at a time."""
    rest = iter(documents)
    while bulk := list(islice(rest, _BULK)):
        yield bulk


def replace_unless_newer(collection: Collection[Document], documents: list[Document]) -> int:
    """Replace documents by `_id`, but for those that know a play which the given one does not; return how many were given.

    What a document knows, its `offsets` say: origin -> offset of the last play.
    """
    there = {
        found["_id"]: found.get("offsets") or {}
        for found in find(collection, (d["_id"] for d in documents), "offsets")
    }
    upsert(
        collection,
        (
            document
            for document in documents
            if all(
                document["offsets"].get(o, -1) >= offset
                for o, offset in there.get(document["_id"], {}).items()
            )
        ),
    )
    return len(documents)
