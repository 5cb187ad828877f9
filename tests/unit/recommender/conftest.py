"""A planted item catalog: groups of tracks whose directions are far apart."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.sparse import csr_array

from jobs.model.embedding import l2_normalize
from jobs.plays.events import PlayEvent
from jobs.recommender import profiles
from jobs.recommender.item_catalog import ItemCatalog

N_GROUPS, TRACKS_PER_GROUP = 5, 20
NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


@pytest.fixture
def catalog():
    """A hundred tracks; track n is of group n % 5 and of artist n // 10."""
    rng = np.random.default_rng(0)
    n_tracks = N_GROUPS * TRACKS_PER_GROUP
    groups = np.arange(n_tracks) % N_GROUPS
    noise = 0.1 * rng.standard_normal((n_tracks, N_GROUPS))
    return ItemCatalog(
        model_version="1",
        ids=np.array([f"{number:03d}" for number in range(n_tracks)]),
        titles=np.array([f"title {number}" for number in range(n_tracks)]),
        artists=np.array([f"artist {number // 10}" for number in range(n_tracks)]),
        recordings=np.array([f"{number:03d}" for number in range(n_tracks)]),
        vectors=l2_normalize(np.eye(N_GROUPS)[groups] + noise).astype(np.float32),
        clusters=groups,
        plays=np.zeros(n_tracks, dtype=int),
    )


def make_event(event, track_id="t", *, after=timedelta(), position_s=None, duration_s=30.0):
    return PlayEvent(
        event_id="e",
        user_id="u",
        track_id=track_id,
        event=event,
        played_at=NOW + after,
        position_s=position_s,
        duration_s=duration_s,
    )


@pytest.fixture
def make_profile():
    """Return a function: (track id, event) pairs, a minute apart -> the profile of user u."""

    def make(*plays):
        profile = profiles.new_profile("u")
        for minute, (track_id, event) in enumerate(plays):
            after = timedelta(minutes=minute)
            profiles.add_play(profile, make_event(event, track_id, after=after, position_s=1.0))
        return profile

    return make


def to_matrix(similar_items, n_tracks):
    """Return the matrix of similar items of {track: (indices, scores)}."""
    rows = [similar_items.get(track, ([], [])) for track in range(n_tracks)]
    starts = np.concatenate([[0], np.cumsum([len(indices) for indices, _ in rows])])
    indices = np.array([index for indices, _ in rows for index in indices], dtype=np.int32)
    scores = np.array([score for _, scores in rows for score in scores], dtype=np.float32)
    return csr_array((scores, indices, starts), shape=(n_tracks, n_tracks))
