"""Write docs/data-model.md from `jobs/lake/schemas.py`, the accounts database, and the lists below.

Run `python .ci/data_model.py` after a change of a table; `tests/unit/test_data_model.py` compares.
"""

import sqlite3
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jobs.lake.feature_columns import (  # noqa: E402
    DESCRIPTORS,
    ECHONEST_COLUMNS,
    FEATURE_COLUMNS,
    FEATURE_SIZES,
    MODEL_INPUT_COLUMNS,
    PRETRAINED,
    STATISTICS,
    descriptor_columns,
)
from jobs.lake.schemas import FEATURES, FMA_METADATA, TABLES  # noqa: E402
from jobs.lake.table import COLUMN_TYPES, Column, Table  # noqa: E402
from jobs.plays import topics  # noqa: E402

FILE = ROOT / "docs" / "data-model.md"

TABLE_MEANINGS = {
    "FILES": "every audio file of the libraries, what `compress` did with it, and the file to play",
    "TRACKS": "titles, artists, genres and ids: the collection",
    "TRACK_IDS": "the id of every content that was ever cataloged: it comes back with the file",
    "FEATURES": "audio features per track and feature version",
    "REJECTS": "files that a step could not use, with the reason",
    "FMA_METADATA": "every column of FMA's tracks.csv",
    "FMA_GENRES": "FMA's genre tree",
    "FINGERPRINTS": "acoustic fingerprints, by content",
    "DUPLICATE_PAIRS": "pairs of similar fingerprints, and whether they are the same recording",
    "EMBEDDERS": "the fitted embedder, array by array",
    "VECTORS": "its vectors, which `cluster` trains on",
    "EMBEDDINGS": "embedding and cluster of every track, by model version",
    "PLAYS": "every play event, by day; cannot be recomputed",
    "ITEM_SIMILARITIES": "tracks that the same users play",
    "RECOMMENDATIONS": "the list of every user, as `recommend` last computed it",
}

SQLITE_MEANINGS = {
    "users": "accounts; `password` is a salted hash",
    "removed": "names of removed users, so that `segue user add --restore` can give one back",
    "sessions": "logins of the page; `token` is a hash",
    "app_passwords": "app passwords of other players",
    "feedback": "likes and dislikes",
    "blocked": "artists that a user blocked",
    "plays": "play events as the player sent them, for the history",
    "playlists": "playlists",
    "play_queues": "the play queue that Subsonic clients save",
    "mixes": "the mixes of every user and day, for a week",
    "starred_groups": "names and tracks of albums and artists with a star or a rating, which follows them",
    "favourites": "albums and artists that a user starred",
    "stars": "ratings of one to five stars",
    "bookmarks": "positions in tracks that a user marked",
    "shares": "links to tracks for anyone; `id` is the secret of the link",
    "radio_stations": "internet radio stations, the same for all users",
    "waiting_listens": "listens of tracks that the collection does not have yet",
    "forwarding": "tokens of ListenBrainz and Last.fm of the users whose plays are forwarded, in clear",
    "outgoing_plays": "finished plays that a service has not taken yet, or has refused (`error`)",
}

ONLINE_STORE = """\
## Online store (MongoDB)

Filled by `publish`, `recommend` and the stream; everything in it can be rebuilt from the lake and PLAYS.

| collection | `_id` | contents |
| --- | --- | --- |
| `tracks` | track_id | the columns of TRACKS; of published tracks also the model version and features by \
name and statistic |
| `similar` | model version and track_id | nearest neighbours with similarity and shared features; \
the track's cluster |
| `map` | model version and part number | ids, x, y and clusters of the collection's map |
| `profiles` | user_id | recent tracks with decayed weights, time of the newest play, last offset per source \
partition |
| `recommendations` | user_id | the current list: model version, items with reasons, offsets that it \
includes |
| `plays` | event_id | events of the last 30 days, for deduplication |
| `feedback` | user_id and track_id | latest like or dislike, by which the stream filters |
| `state` | one of those below | which model is online, and how far each part is up to date |

Documents of `state`: `champion` (the version online, written last), `ranking_weights`,
`default_list` (for users without plays), `recommendations_state`, `plays_retention`, `map`, `catalog`.
"""

MLFLOW = """\
## MLflow

Experiment and registered model are called `segue`.

| | names |
| --- | --- |
| aliases | `champion` (online), `challenger` (newest candidate), `previous` (what a rollback restores), \
`rolling_back` (during one) |
| version tags | `embedder_id`, `feature_version`, `training_hash`, `grid_digest`, `recipe`, `k`, \
`nprobe`, `silhouette`, `tracks`, `model_hash`; \
later `embeddings_digest`, `evaluation_digest`, `compared_with`, `gate`, `rolled_back` |
| metrics per run | `<system>/<metric>`: systems `model`, `champion`, `mfcc_mean`, `content`, \
`collaborative`, `hybrid`, `als`, `popularity`, `random`; \
`ceiling` is the best that any ordering could reach |
| artifacts | `evaluation.json` (metrics by system), `query_scores.json` (each query's scores of `model` and \
`champion`: what the quality gate compares), plots, `grid.json` |
| metrics | `silhouette`, `nprobe`, `selection_score`, `genre_precision_at_k`, `genre_map`, \
`genre_r_precision`, each also with `_any_artist` (tracks of the query's artist included); \
`_ci_low` and `_ci_high` of those for k 10, MAP, R-precision and next-play recall; \
`index_recall_at_10`, `scanned_fraction`, `coverage`, `anti_hub_fraction`, `k_occurrence_skew`, \
`k_occurrence_max`, `next_play_recall_at_10`, `next_play_ndcg_at_10`, `evaluated_queries` |
"""


def render() -> str:
    """Return the whole document."""
    parts = [
        "# Data model\n",
        "Generated by `python .ci/data_model.py` from `jobs/lake/schemas.py` and the accounts database; "
        "do not edit.\n",
        "Durations are seconds, rates hertz or bits per second, times UTC. "
        "Every column may be null unless it is a key.\n",
        "## Tables of the lake\n",
        _table_list(),
    ]
    parts += [_describe(table) for table in TABLES]
    parts += [ONLINE_STORE, _kafka(), _sqlite(), MLFLOW]
    return "\n".join(parts)


def _table_list() -> str:
    rows = [f"| [{t.name}](#{t.name.lower()}) | {TABLE_MEANINGS[t.name]} |" for t in TABLES]
    return "\n".join(["| table | contents |", "| --- | --- |", *rows, ""])


def _describe(table: Table) -> str:
    lines = [
        f"### {table.name}\n",
        f"{_sentence(TABLE_MEANINGS[table.name])} Key: {', '.join(f'`{name}`' for name in table.key)}.\n",
        "| column | type | meaning |",
        "| --- | --- | --- |",
    ]
    if table is FEATURES:
        lines += _feature_rows()
    elif table is FMA_METADATA:
        lines += [_row(column) for column in table.columns[:3]]
        lines.append(
            f"| {len(table.columns) - 3} more | by content "
            "| the columns of tracks.csv, `album/title` as `album_title` |"
        )
    else:
        lines += [_row(column) for column in table.columns]
    return "\n".join([*lines, ""])


def _row(column: Column) -> str:
    return f"| `{column.name}` | {_type_name(COLUMN_TYPES[column.type].arrow)} | {column.meaning} |"


def _type_name(arrow_type: pa.DataType) -> str:
    if pa.types.is_list(arrow_type):
        return f"array of {_type_name(arrow_type.value_type)}"
    if pa.types.is_struct(arrow_type):
        return "struct"
    return "timestamp" if pa.types.is_timestamp(arrow_type) else str(arrow_type)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _feature_rows() -> list[str]:
    """Return FEATURES by patterns of its names, and the feature versions."""
    rows = [_row(column) for column in FEATURES.columns[:5]]
    features = ", ".join(f"{name} ({size})" for name, size in FEATURE_SIZES.items())
    n_statistics = sum(FEATURE_SIZES.values()) * len(STATISTICS)
    rows.append(
        f"| `<feature>_<statistic>_<number>` ({n_statistics}) | float "
        f"| statistic ({', '.join(STATISTICS)}) over the frames of coefficient 01, 02, … of: {features} |"
    )
    for name, (size, meaning) in {**DESCRIPTORS, **PRETRAINED}.items():
        columns = descriptor_columns(name)
        names = f"`{name}`" if size == 1 else f"`{columns[0]}` to `{columns[-1]}`"
        rows.append(f"| {names} | float | {meaning} |")
    rows.append(f"| `echonest_<name>` ({len(ECHONEST_COLUMNS)}) | float | columns of FMA's echonest.csv |")
    versions = ", ".join(f"`{version}` ({len(columns)})" for version, columns in MODEL_INPUT_COLUMNS.items())
    rows.append("")
    rows.append(
        f"The code computes the {len(FEATURE_COLUMNS)} columns that are not FMA's echonest.csv. "
        "Feature versions, oldest first, with the number of columns that an embedding is computed from: "
        f"{versions}. [Features](features.md) has the definitions."
    )
    return rows


def _kafka() -> str:
    return f"""\
## Kafka topics

| topic | messages | retention |
| --- | --- | --- |
| `{topics.PLAYS}` | play events as JSON, keyed by user; {topics.PARTITIONS} partitions when Segue creates \
it | {topics.RETENTION.days} days |
| `{topics.DEAD_LETTERS}` | the dead-letter topic: invalid messages with the reason in a header \
| {topics.DEAD_LETTER_RETENTION.days} days |

A play event has `event_id`, `user_id`, `track_id`, `event`, `played_at`, and optionally `position_s`,
`duration_s`, `session_id`: the columns of [PLAYS](#plays) without `origin` and `offset`.
"""


def _sqlite() -> str:
    """Return the tables of a new accounts database."""
    lines = [
        "## Accounts (SQLite)\n",
        "`<lake>/accounts/accounts.db`, readable by its owner alone; cannot be recomputed. "
        "Times are ISO 8601 texts in UTC.\n",
        "| table | columns | contents |",
        "| --- | --- | --- |",
    ]
    for name, columns in sqlite_tables().items():
        lines.append(
            f"| `{name}` | {', '.join(f'`{column}`' for column in columns)} | {SQLITE_MEANINGS[name]} |"
        )
    return "\n".join([*lines, ""])


def sqlite_tables() -> dict[str, list[str]]:
    """Return the columns of each table of a new accounts database, as the player creates it."""
    from serving.db import accounts, database, feedback, playlists

    with tempfile.TemporaryDirectory() as folder:
        opened = database.Database(Path(folder))
        accounts.Accounts(opened)
        feedback.FeedbackStore(opened)
        playlists.Playlists(opened)
        opened.close()
        connection = sqlite3.connect(Path(folder) / "accounts" / "accounts.db")
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        tables = {}
        for (name,) in names:
            if not name.startswith("sqlite_"):
                tables[name] = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
        connection.close()
    return tables


if __name__ == "__main__":
    FILE.write_text(render())
