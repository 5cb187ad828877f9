"""The styles by name, in the order in which the demo library rotates through them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jobs.demo import acoustic, electronic


@dataclass(frozen=True)
class Style:
    """A genre as written in the tag, and a function that plays it.

    `play` takes a generator, the tone, and optionally the band; its result is float32, (2, n).
    """

    genre: str
    play: Callable[..., np.ndarray]


STYLES = {
    "ambient": Style("Ambient", electronic.ambient),
    "chiptune": Style("Chiptune", electronic.chiptune),
    "house": Style("House", electronic.house),
    "waltz": Style("Folk", acoustic.waltz),
    "drum_and_bass": Style("Drum & Bass", electronic.drum_and_bass),
    "swing": Style("Jazz", acoustic.swing),
    "dub": Style("Dub", electronic.dub),
    "march": Style("Brass Band", acoustic.march),
}
