"""The only module that talks to MongoDB. It works with a real MongoDB and with the embedded server.

Both support single documents by `_id` and bulk upserts; neither transactions nor other indexes are used. A
reader starts at the document `champion` of the collection `state`, which `jobs/online/publisher.py` writes
last.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import pymongo
import pymongo.collection
import pymongo.database
from pymongo.errors import BulkWriteError, ConfigurationError, ConnectionFailure, InvalidURI, PyMongoError

from jobs.errors import InputError, StepError
from jobs.runtime import embedded_mongo

Document = dict[str, Any]
Collection: TypeAlias = pymongo.collection.Collection[Document]
Database: TypeAlias = pymongo.database.Database[Document]

# What a call raises when the store refuses it, and (a subclass) when no server can be reached.
StoreError = PyMongoError
StoreUnavailable = ConnectionFailure

# Documents per bulk: about 1 MB of track documents; the protocol's limit is 48 MB.
_BULK_SIZE = 250

# MongoDB's error code for an insert whose `_id` exists.
_DUPLICATE_KEY = 11000

# Seconds to wait for a server before reporting that it does not answer.
_TIMEOUT_S = 10.0


@contextmanager
def connect(uri: str | None, lake: Path, *, timeout_s: float = _TIMEOUT_S) -> Iterator[Database]:
    """Connect to the online store.

    The MongoDB at `uri`, or the embedded server of the lake in folder `lake`.
    """
    with (
        embedded_mongo.mongo_uri(uri, lake) as address,
        database(address, timeout_s=timeout_s) as connected,
    ):
        yield connected


@contextmanager
def database(uri: str, *, timeout_s: float = _TIMEOUT_S) -> Iterator[Database]:
    """Connect to the database in `uri`, by default `segue`; a starting server has `timeout_s` to answer.

    Raises InputError if the address is invalid, StepError if no server answers.
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
            host = uri.rsplit("@", 1)[-1]  # without user and password
            raise StepError(
                f"--mongo: expected MongoDB to answer at {host}, found: {str(error)[:200]}"
            ) from error


def ping(database: Database) -> None:
    """Raise StoreUnavailable if the server does not answer."""
    database.client.admin.command("ping")


def get(collection: Collection, document_id: str) -> Document | None:
    """Return the document with this `_id`, or None."""
    return collection.find_one({"_id": document_id})


def count(collection: Collection) -> int:
    """Return the number of documents, from the collection's own counter.

    A counting query would read them all.
    """
    return collection.estimated_document_count()


def upsert(collection: Collection, documents: Iterable[Document], *, mostly_new: bool = False) -> int:
    """Insert or replace documents by `_id`, in bulks; return their number.

    Writing the same again changes nothing. With `mostly_new`, bulks are inserted until one has a document
    that exists: an insertion costs the embedded server little more than half of a replacement.
    """
    n_documents = 0
    are_new = mostly_new
    for bulk in batched(documents):
        n_documents += len(bulk)
        replaced = bulk
        if are_new:
            stored_ids = {stored["_id"] for stored in insert_missing(collection, bulk, "_id")}
            replaced = [document for document in bulk if document["_id"] in stored_ids]
            are_new = not stored_ids
        if replaced:
            writes = [pymongo.ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in replaced]
            collection.bulk_write(writes, ordered=False)
    return n_documents


def merge(collection: Collection, documents: Iterable[Document]) -> int:
    """Set the given fields of documents by `_id`, in bulks, and keep their other fields.

    Return their number.
    """
    n_documents = 0
    for bulk in batched(documents):
        writes = [
            pymongo.UpdateOne({"_id": document["_id"]}, {"$set": document}, upsert=True) for document in bulk
        ]
        collection.bulk_write(writes, ordered=False)
        n_documents += len(bulk)
    return n_documents


def delete(collection: Collection, document_ids: Iterable[str]) -> int:
    """Delete documents by `_id`, in bulks; return how many existed."""
    remaining = iter(document_ids)
    n_deleted = 0
    while bulk := list(islice(remaining, _BULK_SIZE)):
        writes = [pymongo.DeleteOne({"_id": document_id}) for document_id in bulk]
        n_deleted += collection.bulk_write(writes, ordered=False).deleted_count
    return n_deleted


def ids(collection: Collection) -> Iterator[str]:
    """Yield the `_id` of every document."""
    for document in collection.find({}, {"_id": 1}).batch_size(_BULK_SIZE):
        yield document["_id"]


def find(collection: Collection, document_ids: Iterable[str], *fields: str) -> Iterator[Document]:
    """Yield the documents with these ids, as far as they exist.

    With all fields, or only `_id` and `fields`.
    """
    projection = dict.fromkeys(fields, 1) or None
    remaining = iter(document_ids)
    while bulk := list(islice(remaining, _BULK_SIZE)):
        yield from collection.find({"_id": {"$in": bulk}}, projection)


def insert_missing(collection: Collection, documents: Iterable[Document], *fields: str) -> Iterator[Document]:
    """Insert documents whose `_id` does not exist; yield the stored document of every other one.

    With all fields, or only `_id` and `fields`.
    """
    for bulk in batched(documents):
        try:
            collection.insert_many(bulk, ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            if any(write["code"] != _DUPLICATE_KEY for write in failed):
                raise
            yield from find(collection, [bulk[write["index"]]["_id"] for write in failed], *fields)


def batched(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield documents in lists of one bulk."""
    remaining = iter(documents)
    while bulk := list(islice(remaining, _BULK_SIZE)):
        yield bulk


def replace_unless_newer(collection: Collection, documents: list[Document]) -> int:
    """Replace documents by `_id`, except stored ones that include a play which the new one lacks.

    A document includes the plays up to its `offsets` (source partition -> last Kafka offset). Returns the
    number of `documents`, replaced or not.
    """
    stored_ids = (document["_id"] for document in documents)
    stored_offsets = {
        stored["_id"]: stored.get("offsets") or {} for stored in find(collection, stored_ids, "offsets")
    }
    current = [
        document
        for document in documents
        if _includes(document["offsets"], stored_offsets.get(document["_id"], {}))
    ]
    upsert(collection, current)
    return len(documents)


def _includes(offsets: dict[str, int], others: dict[str, int]) -> bool:
    return all(offsets.get(partition, -1) >= offset for partition, offset in others.items())


def upsert_fenced(collection: Collection, documents: Iterable[Document], field: str) -> int:
    """Insert or replace documents by `_id`, in bulks, except stored ones whose `field` is greater.

    The server compares and writes in one operation, so that a writer that is late changes nothing. The
    embedded server scans the collection for each of them. Return the number of `documents`, written or not.
    """
    n_documents = 0
    for bulk in batched(documents):
        n_documents += len(bulk)
        # A document that is refused was newer, or was inserted meanwhile by another writer: the second
        # attempt tells them apart.
        refused = _replace_not_greater(collection, bulk, field)
        if refused:
            _replace_not_greater(collection, refused, field)
    return n_documents


def _replace_not_greater(collection: Collection, documents: list[Document], field: str) -> list[Document]:
    """Return the documents that were not written, since their `_id` exists with a greater `field`."""
    writes = [
        pymongo.ReplaceOne({"_id": each["_id"], field: {"$not": {"$gt": each[field]}}}, each, upsert=True)
        for each in documents
    ]
    try:
        collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        if any(write["code"] != _DUPLICATE_KEY for write in failed):
            raise
        return [documents[write["index"]] for write in failed]
    return []
