"""The tags are in the network's order: known recordings have theirs."""

from pathlib import Path

import numpy as np

from jobs.audio import features_of_file
from jobs.musicnn.tags import TAGS, most_probable


def test_most_probable_tags_come_first() -> None:
    probabilities = np.zeros(50)
    probabilities[[9, 0, 49]] = [0.5, 0.7, 0.6]
    assert most_probable(probabilities, 3) == [("rock", 0.7), ("happy", 0.6), ("jazz", 0.5)]
    assert len(set(TAGS)) == 50


def test_hip_hop_and_jazz_are_recognized(recordings: Path) -> None:
    for name, tag in (
        ("fma_small/000/000002.mp3", "Hip-Hop"),
        ("music/librosa-data/Kevin_MacLeod_-_Vibe_Ace.hq.ogg", "jazz"),
    ):
        values = features_of_file.extract_file_features(str(recordings / name)).values
        likely = [found for found, _ in most_probable(values[-50:], 3)]
        assert tag in likely, (name, likely)
