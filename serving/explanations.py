"""What a recommendation rests on: tracks of the user's that sound alike, or that the same listeners play."""

from typing import TYPE_CHECKING

import numpy as np

from jobs.recommender import profiles
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.profiles import ProfileTrack
from serving.catalog import Track
from serving.recommendations import tracks_out
from serving.schemas import Evidence, Explanation

if TYPE_CHECKING:
    from serving.app_state import AppState

# Tracks of each kind, and the cosine above which two tracks sound at least a little alike.
_N_EVIDENCE = 3
_MIN_COSINE = 0.2

_N_WORDS = 3


def explain(state: "AppState", user_id: str, track: Track) -> Explanation:
    """Return the user's own tracks that lead to a track; none for a user without plays or without a model."""
    words = state.radio.sound_words()
    found = Explanation(words=words.describe([track.track_id], _N_WORDS), sound=[], listeners=[])
    items = state.radio.item_catalog(state.catalog, state.online_store.champion())
    document = state.online_store.read("profiles", user_id)
    if document is None or track.track_id not in items.index_of:
        return found
    own = [
        each
        for each in profiles.from_document(document).tracks
        if (each.liked or (each.finished and each.liked is None))
        and each.track_id != track.track_id
        and each.track_id in items.index_of
        and each.track_id in state.catalog.by_id
    ]
    if own:
        by_sound, by_listeners = _similarities(items, track.track_id, own)
        found.sound = _evidence(state, user_id, track, own, by_sound, _MIN_COSINE)
        found.listeners = _evidence(state, user_id, track, own, by_listeners, 0.0)
    return found


def _similarities(
    items: ItemCatalog, track_id: str, own: list[ProfileTrack]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the similarity of each own track (n,) to a track: the cosine of sound, that of listeners."""
    place = items.index_of[track_id]
    rows = [items.index_of[each.track_id] for each in own]
    by_sound = items.vectors[rows] @ items.vectors[place]
    if items.similar_items.shape[0] != len(items.ids):
        return by_sound, np.zeros(len(rows))
    return by_sound, items.similar_items[rows].tocsc()[:, [place]].toarray().ravel()


def _evidence(
    state: "AppState",
    user_id: str,
    track: Track,
    own: list[ProfileTrack],
    similarities: np.ndarray,
    minimum: float,
) -> list[Evidence]:
    """Return the own tracks above a minimum, the most similar first."""
    best = [
        int(n) for n in np.argsort(-similarities, kind="stable")[:_N_EVIDENCE] if similarities[n] > minimum
    ]
    out = tracks_out(state.catalog.by_ids(own[n].track_id for n in best), state.feedback.ratings(user_id))
    words = state.radio.sound_words()
    return [
        Evidence(
            track=each,
            similarity=round(float(similarities[n]), 3),
            finished=own[n].finished,
            words=words.describe([track.track_id, own[n].track_id], _N_WORDS),
        )
        for n, each in zip(best, out, strict=True)
    ]
