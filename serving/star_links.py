"""Find the albums and artists of today that stars and ratings with former ids are about.

An id is unknown because the rule that makes ids has changed, because tags have, or because the album is not
there just now: then its stars wait.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from serving.catalog import Catalog
from serving.catalog_items import Track, stable_id
from serving.db.starred_groups import Group, StarredGroups

_NO_MOVES: Mapping[str, list[str]] = MappingProxyType({})

# Tracks by which an album or an artist is found again.
_MAX_TRACKS = 20

# Ids were made of the track's artist, not the album's; before 27 November 2026 without accents and symbols.
_Rule = Callable[..., str]


def _folded_id(kind: str, *names: str) -> str:
    """Return the id of names as Segue 0.1 made it: of letters and digits without accents."""
    return f"{kind}-{hashlib.sha256(chr(0).join(map(_fold, names)).encode()).hexdigest()[:16]}"


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = (char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return " ".join("".join(letters).split())


_FORMER_RULES: tuple[_Rule, ...] = (_folded_id, stable_id)


def relink_stars(catalog: Catalog, groups: StarredGroups) -> dict[str, list[str]]:
    """Move stars and ratings with unknown ids to those of today; return the moves.

    It may be repeated: an id that is known, or that nothing is found for, stays.
    """
    unknown = {group_id for group_id in groups.ids() if not _is_known(catalog, group_id)}
    moved = _find(catalog, unknown, groups.read()) if unknown else {}
    store_starred(catalog, groups, moved)
    return moved


def store_starred(
    catalog: Catalog, groups: StarredGroups, moved: Mapping[str, list[str]] = _NO_MOVES
) -> None:
    """Store what the known ids with stars stand for, and move those of `moved` with it."""
    stored = groups.read()
    ids = groups.ids()
    current = {group_id for group_id in ids.union(*moved.values()) if _is_known(catalog, group_id)}
    known = {group_id: describe(catalog, group_id) for group_id in current}
    changed = {group_id: group for group_id, group in known.items() if stored.get(group_id) != group}
    if moved or changed or stored.keys() - ids:
        groups.replace(moved, changed)


def describe(catalog: Catalog, group_id: str) -> Group:
    """Return what the id of an album or artist stands for."""
    album = catalog.albums.get(group_id)
    if album is not None:
        return Group(album.artist, album.name, _ids(album.tracks))
    return Group(catalog.artists[group_id].name, None, _ids(catalog.artist_tracks(group_id)))


def _ids(tracks: Iterable[Track]) -> tuple[str, ...]:
    return tuple(sorted(track.track_id for track in tracks)[:_MAX_TRACKS])


def _is_known(catalog: Catalog, group_id: str) -> bool:
    return group_id in catalog.albums or group_id in catalog.artists


def _find(catalog: Catalog, unknown: set[str], stored: dict[str, Group]) -> dict[str, list[str]]:
    """Return the ids of today by former id: by names, by former rules, else by tracks."""
    by_rule = _ids_by_former_rules(catalog, unknown)
    found: dict[str, list[str]] = {}
    for group_id in unknown:
        group = stored.get(group_id)
        candidates = [_id_by_names(group)] if group is not None else []
        candidates = [each for each in candidates if _is_known(catalog, each)]
        candidates = candidates or by_rule.get(group_id, [])
        if not candidates and group is not None:
            candidates = _ids_by_tracks(catalog, group)
        if candidates:
            found[group_id] = candidates
    return found


def _id_by_names(group: Group) -> str:
    return (
        stable_id("ar", group.artist) if group.album is None else stable_id("al", group.artist, group.album)
    )


def _ids_by_former_rules(catalog: Catalog, wanted: set[str]) -> dict[str, list[str]]:
    """Return the ids of today by former id; a former id may have stood for several of today's."""
    found: dict[str, dict[str, None]] = {}
    for album in catalog.albums.values():
        names = {(track.artist, track.album or track.title): track.artist_id for track in album.tracks}
        for (artist, name), artist_id in names.items():
            for rule in _FORMER_RULES:
                for former, today in (
                    (rule("ar", artist), artist_id),
                    (rule("al", artist, name), album.album_id),
                ):
                    if former in wanted:
                        found.setdefault(former, {})[today] = None
    return {former: list(ids) for former, ids in found.items()}


def _ids_by_tracks(catalog: Catalog, group: Group) -> list[str]:
    """Return the album, or the artist, of most of the tracks."""
    tracks = catalog.by_ids(group.tracks)
    counts = Counter(track.artist_id if group.album is None else track.album_id for track in tracks)
    return [group_id for group_id, _ in counts.most_common(1)]
