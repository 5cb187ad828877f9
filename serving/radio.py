"""Radio from a track, an artist, a genre or a mood, without repeats: the shared ranking with a synthetic
profile.

The profile likes the seeds and has just finished the latest tracks of the radio: so the radio stays near its
seeds, drifts with what was played, and follows the same rules as everybody's recommendations.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, FEATURES, ITEM_SIMILARITIES
from jobs.lake.storage import Lake
from jobs.model import clustered_vectors, sound_words
from jobs.model.sound_words import SoundWords
from jobs.plays.events import EventType, PlayEvent
from jobs.recommender import item_catalog, profiles, ranking
from jobs.recommender.item_catalog import ItemCatalog
from serving.catalog import Catalog, Track

# Words that a radio can start from, and the fraction of the collection that each of them is.
MOODS = ("calm", "energetic", "bright", "dark")
_MOOD_FRACTION = 1 / 6

# Seeds in the synthetic profile, drawn by the salt; and the latest tracks of the radio in it.
_MAX_SEEDS, _N_RECENT = 8, 4

# One in so many candidates is skipped at random, so that a radio differs each time.
_SKIP_ONE_IN = 3

# Tracks before an artist comes again, while there are others.
_ARTIST_GAP = 5

# Tracks taken per ranking, since the next ones depend on them; candidates per ranking. A list of ten or more
# would hold an exploration item, which a radio should not.
_BATCH, _N_CANDIDATES = 3, 9

# Fixed times, long before the first track, so that no seed counts as just played and results do not depend on
# the clock.
_SEEDS_PLAYED_AT, _RADIO_PLAYED_AT = datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class RadioQuery:
    """What a radio is asked for."""

    # Tracks it starts from.
    seeds: Sequence[Track]
    # Track ids, oldest first.
    played: Sequence[str] = ()
    # Track ids that never come.
    excluded: Set[str] = frozenset()
    count: int = 10
    # Another salt gives another radio from the same seeds.
    salt: int = 0


class Radio:
    """Ranks over the champion's item catalog, which is loaded on first use and again when it changes."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._item_catalog: tuple[str, ItemCatalog] | None = None
        self._sound_words: tuple[str, SoundWords] | None = None

    def item_catalog(self, catalog: Catalog, champion: str | None) -> ItemCatalog:
        """Return the item catalog of the version `champion`, or of the newest version for None."""
        tables = [self._lake.version(table) for table in (EMBEDDINGS, ITEM_SIMILARITIES)]
        revision = f"{[table and table.name for table in tables]} {catalog.version} {champion}"
        with self._lock:
            if self._item_catalog is None or self._item_catalog[0] != revision:
                self._item_catalog = (revision, self._load(catalog, champion))
            return self._item_catalog[1]

    def _load(self, catalog: Catalog, champion: str | None) -> ItemCatalog:
        """Return the item catalog of the tracks in memory.

        Without tracks if the lake has no model version yet.
        """
        versions = clustered_vectors.stored_versions(self._lake)
        version = champion if champion and champion in versions else max(versions, key=int, default="")
        tracks = {
            track.track_id: item_catalog.ItemInfo(track.title, track.artist, track.recording_id)
            for track in catalog.tracks
        }
        try:
            return item_catalog.load(self._lake, version, tracks=tracks)
        except StepError:
            return item_catalog.empty(version)

    def sound_words(self) -> SoundWords:
        """Return the words of all tracks, from the lake's current FEATURES."""
        version = self._lake.version(FEATURES)
        revision = version.name if version else ""
        with self._lock:
            if self._sound_words is None or self._sound_words[0] != revision:
                self._sound_words = (revision, sound_words.load(self._lake))
            return self._sound_words[1]

    def mood_tracks(self, name: str) -> list[str]:
        """Return the track ids of a mood of MOODS, the strongest first."""
        return self.sound_words().strongest(name, _MOOD_FRACTION)

    def next_tracks(self, catalog: Catalog, champion: str | None, query: RadioQuery) -> list[Track]:
        """Return the next `query.count` tracks: near the seeds, drifting with what was played.

        No recording comes twice; there are fewer tracks if the collection has no more. The same arguments
        give the same tracks.
        """
        items = self.item_catalog(catalog, champion)
        seeds = [track for track in query.seeds if track.track_id in items.index_of]
        seeds.sort(key=lambda track: _random_key(query.salt, track.track_id))
        gone = {*query.played, *query.excluded}
        if not seeds:
            return [track for track in catalog.tracks if track.track_id not in gone][: query.count]
        chosen: list[Track] = []
        if len(seeds) == 1 and not query.played and seeds[0].track_id not in gone:
            chosen = seeds[: query.count]  # a radio from a track starts with that track
        while len(chosen) < query.count:
            continued = replace(
                query,
                seeds=seeds[:_MAX_SEEDS],
                played=[*query.played, *(track.track_id for track in chosen)],
                count=min(_BATCH, query.count - len(chosen)),
            )
            batch = self._rank_next(catalog, items, continued)
            if not batch:
                break
            chosen += batch
        return chosen

    def _rank_next(self, catalog: Catalog, items: ItemCatalog, query: RadioQuery) -> list[Track]:
        """Return at most `query.count` of the nearest tracks, by different artists.

        Artists of the last _ARTIST_GAP tracks come only if no others are left.
        """
        profile = _synthetic_profile(query.seeds, query.played, query.salt)
        gone = {*query.played, *query.excluded}
        recent_artists = {track.artist_id for track in catalog.by_ids(query.played[-_ARTIST_GAP:])}
        waiting = set()
        for artist_id in recent_artists:
            waiting |= {track.track_id for track in catalog.artist_tracks(artist_id)}
        for exclude in (gone | waiting, gone):
            ranked = ranking.recommend(items, profile, count=_N_CANDIDATES, exclude=exclude)
            if not ranked:
                forbidden = {items.index_of[track_id] for track_id in exclude if track_id in items.index_of}
                ranked = ranking.default_list(items, _N_CANDIDATES, forbidden)
            candidates = catalog.by_ids(item.track_id for item in ranked)
            varied = [t for t in candidates if _random_key(query.salt, t.track_id) % _SKIP_ONE_IN]
            # Each artist has its best track, and the place of that.
            by_artist: dict[str, Track] = {}
            for track in varied or candidates:
                by_artist.setdefault(track.artist_id, track)
            if by_artist:
                return list(by_artist.values())[: query.count]
        return []

    def path_between(
        self, catalog: Catalog, champion: str | None, start: Track, end: Track, count: int
    ) -> list[tuple[Track, float]]:
        """Return at most `count` tracks from `start` to `end`, each with its cosine to the one before."""
        items = self.item_catalog(catalog, champion)
        vectors, places = items.vectors, items.index_of
        if start.track_id not in places or end.track_id not in places or count < 2:
            return []
        first, last = (vectors[places[track.track_id]] for track in (start, end))
        chosen, taken = [start], {start.track_id, end.track_id}
        for part in np.linspace(0, 1, count)[1:-1]:
            order = np.argsort(-(vectors @ ((1 - part) * first + part * last)), kind="stable")
            track_id = next((each for each in items.ids[order].tolist() if each not in taken), None)
            if track_id is not None:
                taken.add(track_id)
                chosen.append(catalog.by_id[track_id])
        rows = [vectors[places[track.track_id]] for track in (*chosen, end)]
        cosines = [1.0, *(float(max(0.0, a @ b)) for a, b in zip(rows, rows[1:], strict=False))]
        return list(zip((*chosen, end), cosines, strict=True))


def _synthetic_profile(seeds: Iterable[Track], played: Sequence[str], salt: int) -> profiles.Profile:
    """Return a profile that likes the seeds and has finished the latest of `played`."""
    profile = profiles.new_profile(f"radio {salt}")
    for track in seeds:
        profiles.add_play(profile, _event(track.track_id, "liked", _SEEDS_PLAYED_AT))
    for number, track_id in enumerate(played[-_N_RECENT:]):
        profiles.add_play(
            profile, _event(track_id, "finished", _RADIO_PLAYED_AT + timedelta(minutes=3 * number))
        )
    return profile


def _event(track_id: str, event: EventType, at: datetime) -> PlayEvent:
    return PlayEvent(event_id="radio", user_id="radio", track_id=track_id, event=event, played_at=at)


def _random_key(salt: int, track_id: str) -> int:
    """Return a pseudo-random number that depends on salt and track alone."""
    return int.from_bytes(hashlib.blake2b(f"{salt} {track_id}".encode(), digest_size=4).digest())
