"""Albums and artists near an album or an artist, by the mean of their tracks' vectors."""

from collections.abc import Callable, Sequence, Set

import numpy as np

from jobs.recommender.item_catalog import ItemCatalog
from serving.catalog import Catalog, Track
from serving.recommendations import is_blocked

# Nearest tracks whose albums or artists are counted.
_MAX_NEAREST = 2_000


def nearest_groups(
    items: ItemCatalog,
    catalog: Catalog,
    seeds: Sequence[Track],
    group_of: Callable[[Track], str],
    *,
    count: int,
    excluded_artists: Set[str] = frozenset(),
) -> list[str]:
    """Return the groups (`group_of` a track) of the tracks nearest to the mean of the seeds.

    Parameters
    ----------
    seeds
        Tracks of the group that is asked about; its own group is left out.
    count
        Most groups to return, the nearest first; there are none without vectors of the seeds.
    """
    rows = [items.index_of[track.track_id] for track in seeds if track.track_id in items.index_of]
    if not rows:
        return []
    cosines = items.vectors @ items.vectors[rows].mean(axis=0)
    n_nearest = min(_MAX_NEAREST, len(cosines))
    nearest = np.argpartition(-cosines, n_nearest - 1)[:n_nearest]
    ordered = nearest[np.argsort(-cosines[nearest], kind="stable")]
    seed_groups = {group_of(track) for track in seeds}
    groups: dict[str, None] = {}
    for track in catalog.by_ids(items.ids[ordered].tolist()):
        if group_of(track) not in seed_groups and not is_blocked(track, excluded_artists):
            groups.setdefault(group_of(track))
        if len(groups) == count:
            break
    return list(groups)
