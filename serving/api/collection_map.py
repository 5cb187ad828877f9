"""The map: the collection in two dimensions with named clusters, and the path between two tracks."""

from collections import defaultdict
from statistics import median
from typing import Annotated

from fastapi import APIRouter, Query

from serving import schemas as m
from serving.api.dependencies import CurrentUser, State
from serving.app_state import AppState
from serving.mixes import cluster_name
from serving.recommendations import tracks_out

router = APIRouter()

# Tracks of a cluster that its name is made of.
_N_NAMING = 200


@router.get("/map")
def collection_map(state: State, _: CurrentUser) -> m.CollectionMap:
    """The collection in two dimensions."""
    version, known = state.online_store.champion(), state.catalog.by_id
    found = m.CollectionMap(model_version=version, ids=[], x=[], y=[], clusters=[], names=[])
    about = state.online_store.read("state", "map") or {}
    for number in range(about.get("parts", 0)):
        part = state.online_store.read("map", f"{about['model_version']}:{number}")
        for track_id, x, y, cluster in (
            zip(*(part[n] for n in ("ids", "x", "y", "clusters")), strict=True) if part else ()
        ):
            if track_id in known:
                found.ids.append(track_id)
                found.x.append(x)
                found.y.append(y)
                found.clusters.append(cluster)
    found.names = _names(state, found)
    return found


def _names(state: AppState, found: m.CollectionMap) -> list[m.ClusterName]:
    """Return name and centre of each cluster, the largest first."""
    places = defaultdict(list)
    for place, cluster in enumerate(found.clusters):
        places[cluster].append(place)
    return [
        m.ClusterName(
            cluster=cluster,
            name=cluster_name(state, [found.ids[each] for each in members[:_N_NAMING]])[0],
            tracks=len(members),
            x=median(found.x[each] for each in members),
            y=median(found.y[each] for each in members),
        )
        for cluster, members in sorted(places.items(), key=lambda pair: -len(pair[1]))
    ]


@router.get("/path")
def path(
    state: State,
    user: CurrentUser,
    start: Annotated[m.Id, Query(description="id of the first track")],
    end: Annotated[m.Id, Query(description="id of the last track")],
    count: Annotated[int, Query(ge=2, le=100)] = 20,
) -> m.Tracks:
    """Tracks that lead from one track to another, each near the one before; none without a model."""
    first, last = state.track(start), state.track(end)
    champion = state.online_store.champion()
    found = state.radio.path_between(state.catalog, champion, first, last, count)
    items = tracks_out([track for track, _ in found], state.feedback.ratings(user.name))
    return m.Tracks(total=len(items), items=items)
