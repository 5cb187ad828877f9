"""The 50 tags that MusiCNN was trained to predict: Last.fm's most frequent in the Million Song Dataset.

In the order of the network's output, as in the package musicnn's configuration.py.
"""

from collections.abc import Sequence

TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
    *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul"),
    *("indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk"),
    *("oldies", "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist", "guitar"),
    *("Hip-Hop", "70s", "party", "country", "easy listening", "sexy", "catchy", "funk", "electro"),
    *("heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy"),
)


def most_probable(probabilities: Sequence[float], count: int) -> list[tuple[str, float]]:
    """Return the `count` tags with the largest probabilities, the largest first, of 50 probabilities."""
    ordered = sorted(zip(TAGS, probabilities, strict=True), key=lambda pair: -pair[1])
    return ordered[:count]
