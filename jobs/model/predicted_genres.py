"""Genres of tracks whose tags have none, from MusiCNN's tags: only where the network is sure.

The network is sure of metal, hip-hop and jazz more often than of rock or pop, and it has no tag for classical
music: an orchestra gets 0.4 for jazz. So a genre needs a probability that no such piece reached
(docs/features.md), and most tracks without a genre stay without one.
"""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.feature_columns import FEATURE_VERSION, descriptor_columns
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake
from jobs.musicnn.tags import TAGS

# Genres by MusiCNN's tags. Its other tags name decades, moods, voices and instruments.
GENRES = {
    "Rock": ("rock", "alternative rock", "classic rock", "indie rock", "hard rock", "Progressive rock"),
    "Pop": ("pop", "indie pop"),
    "Electronic": ("electronic", "electronica", "electro", "House"),
    "Hip-Hop": ("Hip-Hop",),
    "Jazz": ("jazz",),
    "Metal": ("metal", "heavy metal"),
    "Punk": ("punk",),
    "Folk": ("folk",),
    "Blues": ("blues",),
    "Country": ("country",),
    "Soul": ("soul", "rnb"),
    "Funk": ("funk",),
    "Ambient": ("ambient", "chillout"),
}
_NAMES = np.array(tuple(GENRES))
_TAGS = tuple(dict.fromkeys(tag for names in GENRES.values() for tag in names))
_COLUMNS = tuple(descriptor_columns("musicnn_tags")[TAGS.index(tag)] for tag in _TAGS)

# The least probability of a genre's likeliest tag.
MIN_PROBABILITY = 0.45


def predict(probabilities: np.ndarray) -> np.ndarray:
    """Return the genre of each track, "" where no tag of a genre reaches MIN_PROBABILITY.

    Parameters
    ----------
    probabilities : (n, tags)
        Of the tags of GENRES in their order, 0 to 1 or NaN.
    """
    of_genres = np.stack(
        [probabilities[:, [_TAGS.index(tag) for tag in names]].max(axis=1) for names in GENRES.values()],
        axis=1,
    )
    of_genres = np.nan_to_num(of_genres)
    return np.where(of_genres.max(axis=1) >= MIN_PROBABILITY, _NAMES[of_genres.argmax(axis=1)], "")


def load(lake: Lake, track_ids: Collection[str]) -> dict[str, str]:
    """Return the predicted genres of these tracks, by the current FEATURES; without those that have none."""
    if not track_ids:
        return {}
    is_asked = pc.field("track_id").isin(pa.array(track_ids, pa.string()))
    is_current = pc.field("feature_version") == FEATURE_VERSION
    table = lake.read_arrow(FEATURES, "track_id", *_COLUMNS, where=is_asked & is_current)
    if not len(table):
        return {}
    genres = predict(np.stack([table[column].to_numpy() for column in _COLUMNS], axis=1))
    return {
        track_id: str(genre)
        for track_id, genre in zip(table["track_id"].to_pylist(), genres, strict=True)
        if genre
    }
