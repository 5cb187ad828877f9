"""What is left out of a stored list when it is read."""

import dataclasses

from serving.db.accounts import User
from serving.recommendations import to_recommendations


def test_another_file_of_a_recording_just_played_is_left_out(state):
    catalog = state.catalog
    tracks = tuple(
        dataclasses.replace(track, recording_id="t00") if track.track_id == "t05" else track
        for track in catalog.tracks
    )
    state.catalog = type(catalog)(catalog.version, tracks, catalog.roots)
    document = {"items": [{"track_id": name} for name in ("t00", "t05", "t06")]}

    def listed():
        return [item.track.id for item in to_recommendations(state, "local", document).items]

    assert listed() == ["t00", "t05", "t06"]
    state.accept_play(User("local"), {"track_id": "t00", "event": "finished"})
    assert listed() == ["t00", "t06"]
    for number in range(20):  # it may come again after a while
        state.accept_play(User("local"), {"track_id": f"t{10 + number}", "event": "finished"})
    assert listed() == ["t00", "t05", "t06"]
