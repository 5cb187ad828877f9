"""What can be recommended, read from the lake: a model's embeddings beside titles, artists and what people play together."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from jobs import ranking
from jobs.errors import StepError
from jobs.storage import Lake
from jobs.tables import EMBEDDINGS, TOGETHER, TRACKS


def load(lake: Lake, model_version: str, blend: ranking.Blend | None = None) -> ranking.Catalogue:
    """Return the catalogue of a model version; StepError where the lake has no row of it."""
    embedded = lake.arrow(EMBEDDINGS).filter(pc.field("model_version") == model_version).sort_by("track_id")
    columns = ("track_id", "title", "artist", "recording_id", "listens")
    about = {row["track_id"]: row for row in lake.arrow(TRACKS, *columns).to_pylist()}
    ids = embedded["track_id"].to_pylist()
    kept = np.array([number for number, track_id in enumerate(ids) if track_id in about], dtype=int)
    if not kept.size:
        raise StepError(f"expected tracks of model version {model_version}, found none; run `segue publish`")
    rows = [about[ids[number]] for number in kept]
    vectors = embedded["embedding"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
    found = np.array([row["track_id"] for row in rows])
    listens = np.array([row["listens"] or 0 for row in rows])
    catalogue = ranking.Catalogue(
        model_version=model_version,
        ids=found,
        titles=np.array([row["title"] or row["track_id"] for row in rows]),
        artists=np.array([row["artist"] or "" for row in rows]),
        recordings=np.array([row["recording_id"] or row["track_id"] for row in rows]),
        vectors=np.ascontiguousarray(vectors[kept], dtype=np.float32),
        clusters=embedded["cluster"].to_numpy()[kept],
        # Who plays here says more than who played on FMA; that only decides where nobody has played.
        plays=listens,
        blend=blend or ranking.Blend(),
    )
    return with_together(catalogue, lake.arrow(TOGETHER).to_pylist())


def with_together(catalogue: ranking.Catalogue, rows: Iterable[Mapping[str, Any]]) -> ranking.Catalogue:
    """Return the catalogue with what rows of TOGETHER say of listeners and of what goes together."""
    places = catalogue.places
    together, listeners = {}, np.zeros(len(catalogue.ids), dtype=int)
    for row in rows:
        number = places.get(row["track_id"])
        if number is not None:
            listeners[number] = row["listeners"]
            known = [(places[o], s) for o, s in zip(row["others"], row["strengths"], strict=True) if o in places]
            if known:
                together[number] = (np.array([o for o, _ in known]), np.array([s for _, s in known]))
    return replace(catalogue, together=together, plays=listeners if listeners.any() else catalogue.plays)
