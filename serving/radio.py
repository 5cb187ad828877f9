"""Radio: from a track, an artist, a genre or a mood, on and on without a repeat; the shared ranking, for a made-up listener.

The listener likes what the radio starts from and has just heard what it has played: so it stays near its start and drifts with
what was played, and keeps the rules that everyone's recommendations keep.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, FEATURES, ITEM_SIMILARITIES
from jobs.lake.storage import Lake
from jobs.plays.events import EventType, PlayEvent
from jobs.recommender import item_catalog, profiles, ranking
from jobs.recommender.item_catalog import ItemCatalog
from serving.catalog import Catalog, Track

# A mood is a sixth of the collection: those for which the sum of these, as ranks, is largest.
MOODS: dict[str, dict[str, float]] = {
    "calm": {"rmse_mean_01": -1, "zcr_mean_01": -1, "onset_density": -1},
    "energetic": {"rmse_mean_01": 1, "onset_density": 1, "spectral_rolloff_mean_01": 0.5},
    "bright": {"spectral_centroid_mean_01": 1, "spectral_rolloff_mean_01": 1},
    "dark": {"spectral_centroid_mean_01": -1, "spectral_rolloff_mean_01": -1},
}
_MOOD_SHARE = 6

# Of what a radio starts from so many are asked about, drawn by its salt; and so many of what it has played last.
_MAX_SEEDS, _LATEST = 8, 4

# One in so many tracks is left out by chance: the same radio is another each time.
_LEFT_OUT = 3

# An artist just heard has to wait for so many tracks, as long as there are others.
_ARTIST_GAP = 5

# Taken at a time of so many that the ranking gives: what follows is asked for by who has heard these. A list of ten or more
# would hold one from elsewhere, to see whether it is liked, which is not what a radio is for.
_BATCH, _ASKED_FOR = 3, 9

# No clock: a radio's made-up listener began then, long before the first track, so that no start counts as just heard.
_BEGAN, _HEARD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 3, 1, tzinfo=UTC)


class Radio:
    """The champion's catalogue for ranking, read when first asked for and anew when it changes."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._catalogue: tuple[str, ItemCatalog] | None = None
        self._moods: tuple[str, dict[str, list[str]]] | None = None

    def item_catalog(self, catalog: Catalog, champion: str | None) -> ItemCatalog:
        """Return what can be played by the version `champion`, by the newest there is for None."""
        tables = [self._lake.version(table) for table in (EMBEDDINGS, ITEM_SIMILARITIES)]
        mark = f"{[table and table.name for table in tables]} {catalog.version} {champion}"
        with self._lock:
            if self._catalogue is None or self._catalogue[0] != mark:
                self._catalogue = (mark, self._load(catalog, champion))
            return self._catalogue[1]

    def _load(self, catalog: Catalog, champion: str | None) -> ItemCatalog:
        """Return the item catalog of the tracks in memory; without tracks if the lake has no model version yet."""
        versions = self._lake.read_arrow(EMBEDDINGS, "model_version")["model_version"].unique().to_pylist()
        version = champion if champion and champion in versions else max(versions, key=int, default="")
        tracks = {
            track.track_id: item_catalog.ItemInfo(track.title, track.artist, track.recording_id)
            for track in catalog.tracks
        }
        try:
            return item_catalog.load(self._lake, version, tracks=tracks)
        except StepError:
            return item_catalog.empty(version)

    def mood_tracks(self, name: str) -> list[str]:
        """Return the ids of the tracks of a mood of MOODS, the most so first."""
        table = self._lake.version(FEATURES)
        mark = str(table)
        with self._lock:
            if self._moods is None or self._moods[0] != mark:
                self._moods = (mark, self._load_moods())
            return self._moods[1][name]

    def _load_moods(self) -> dict[str, list[str]]:
        columns = sorted({column for weights in MOODS.values() for column in weights})
        rows = self._lake.read_arrow(FEATURES, "track_id", *columns)
        ids = rows["track_id"].to_pylist()
        ranks = {}
        for column in columns:
            values = np.nan_to_num(rows[column].to_numpy().astype(float))
            ranks[column] = values.argsort().argsort() / max(1, len(ids) - 1)
        found = {}
        for name, weights in MOODS.items():
            scores = sum(weight * ranks[column] for column, weight in weights.items())
            order = np.argsort(-np.asarray(scores), kind="stable")[: max(1, len(ids) // _MOOD_SHARE)]
            found[name] = [ids[row] for row in order] if ids else []
        return found

    def next_tracks(
        self,
        catalog: Catalog,
        champion: str | None,
        seeds: Sequence[Track],
        played: Sequence[str],
        never: set[str],
        count: int,
        *,
        salt: int = 0,
    ) -> list[Track]:
        """Return the next `count` tracks after `played` (oldest first): near the seeds, drifting with what was played.

        Never one of `played` or `never` (track ids), never one recording twice; fewer where the collection has no more.
        The same arguments give the same tracks.
        """
        catalogue = self.item_catalog(catalog, champion)
        known = sorted(
            (t for t in seeds if t.track_id in catalogue.index_of), key=lambda t: _chance(salt, t.track_id)
        )
        gone = {*played, *never}
        if not known:
            return [track for track in catalog.tracks if track.track_id not in gone][:count]
        chosen: list[Track] = []
        if len(known) == 1 and not played and known[0].track_id not in gone:
            chosen = known[:count]  # a radio from a track begins with the track
        while len(chosen) < count:
            heard = [*played, *(track.track_id for track in chosen)]
            wanted = min(_BATCH, count - len(chosen))
            found = self._rank_next(catalog, catalogue, known[:_MAX_SEEDS], heard, never, wanted, salt)
            if not found:
                break
            chosen += found
        return chosen

    def _rank_next(
        self,
        catalog: Catalog,
        catalogue: ItemCatalog,
        seeds: Iterable[Track],
        heard: Sequence[str],
        never: set[str],
        count: int,
        salt: int,
    ) -> list[Track]:
        """Return at most `count` of the nearest, by different artists; one just heard only where nobody else is left."""
        profile = _synthetic_profile(seeds, heard, salt)
        gone = {*heard, *never}
        artists = {track.artist_id for track in catalog.by_ids(heard[-_ARTIST_GAP:])}
        waiting = {
            track.track_id for each in artists for album in catalog.artists[each] for track in album.tracks
        }
        for exclude in (gone | waiting, gone):
            items = ranking.recommend(catalogue, profile, count=_ASKED_FOR, exclude=exclude)
            if not items:
                forbidden = {catalogue.index_of[each] for each in exclude if each in catalogue.index_of}
                items = ranking.default_list(catalogue, _ASKED_FOR, forbidden)
            found = catalog.by_ids(item.track_id for item in items)
            kept = [track for track in found if _chance(salt, track.track_id) % _LEFT_OUT] or found
            by_artist = {track.artist_id: track for track in reversed(kept)}
            if by_artist:
                return list(reversed(by_artist.values()))[:count]
        return []

    def path_between(
        self, catalog: Catalog, champion: str | None, start: Track, end: Track, count: int
    ) -> list[tuple[Track, float]]:
        """Return at most `count` tracks from `start` to `end`, each with its cosine to the one before."""
        catalogue = self.item_catalog(catalog, champion)
        vectors, places = catalogue.vectors, catalogue.index_of
        if start.track_id not in places or end.track_id not in places or count < 2:
            return []
        first, last = (vectors[places[track.track_id]] for track in (start, end))
        chosen, taken = [start], {start.track_id, end.track_id}
        for part in np.linspace(0, 1, count)[1:-1]:
            order = np.argsort(-(vectors @ ((1 - part) * first + part * last)), kind="stable")
            track_id = next((each for each in catalogue.ids[order].tolist() if each not in taken), None)
            if track_id is not None:
                taken.add(track_id)
                chosen.append(catalog.by_id[track_id])
        rows = [vectors[places[track.track_id]] for track in (*chosen, end)]
        cosines = [1.0, *(float(max(0.0, a @ b)) for a, b in zip(rows, rows[1:], strict=False))]
        return list(zip((*chosen, end), cosines, strict=True))


def _synthetic_profile(seeds: Iterable[Track], heard: Sequence[str], salt: int) -> profiles.Profile:
    """Return the profile of somebody who likes the seeds, and has heard the latest of `heard` to the end."""
    profile = profiles.new_profile(f"radio {salt}")
    for track in seeds:
        profiles.add_play(profile, _event(track.track_id, "liked", _BEGAN))
    for number, track_id in enumerate(heard[-_LATEST:]):
        profiles.add_play(profile, _event(track_id, "finished", _HEARD + timedelta(minutes=3 * number)))
    return profile


def _event(track_id: str, event: EventType, at: datetime) -> PlayEvent:
    return PlayEvent(event_id="radio", user_id="radio", track_id=track_id, event=event, played_at=at)


def _chance(salt: int, track_id: str) -> int:
    """Return a number that looks like chance and is the same for the same salt and track."""
    return int.from_bytes(hashlib.blake2b(f"{salt} {track_id}".encode(), digest_size=4).digest())
