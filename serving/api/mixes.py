"""Mixes: lists of a theme that each user has, new every day."""

from datetime import date

from fastapi import APIRouter

from serving import schemas as m
from serving.api.dependencies import CurrentUser, State
from serving.db.mixes import NamedMix
from serving.mixes import find_mix, mixes_of
from serving.problems import RequestError
from serving.recommendations import tracks_out

router = APIRouter()


@router.get("/mixes")
def mixes(state: State, user: CurrentUser, day: date | None = None) -> m.Mixes:
    """The user's mixes of today, or of a day of the last week."""
    return m.Mixes(items=[_mix_out(mix) for mix in mixes_of(state, user.name, day)])


@router.get("/mixes/{mix_id}")
def mix(state: State, user: CurrentUser, mix_id: m.Id) -> m.MixWithTracks:
    """One mix with its tracks; `mix-1@2026-11-26` is that of an earlier day."""
    found = find_mix(state, user.name, mix_id)
    if found is None:
        raise RequestError(404, f"expected the id of a mix, found {ascii(mix_id)[:80]}")
    tracks = state.catalog.by_ids(found.tracks)
    items = tracks_out(tracks, state.feedback.ratings(user.name))
    return m.MixWithTracks(**_mix_out(found).model_dump(), items=items)


def _mix_out(found: NamedMix) -> m.Mix:
    return m.Mix(
        id=found.mix_id,
        day=found.day,
        title=found.title,
        comment=found.comment,
        tracks=len(found.tracks),
        cover=found.tracks[0],
    )
