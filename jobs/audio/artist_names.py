"""Split the credit of a track into its artists: guests apart, what belongs to a band's name together."""

import re

VARIOUS_ARTISTS = "Various Artists"
_VARIOUS_NAMES = frozenset(("various artists", "various", "va", "v.a.", "v/a", "various artist"))

# What stands between several artists in one text; "&" and "," may belong to a name.
_SEPARATOR = re.compile(r"\s*;\s+|\s+/\s+|\s*\\\\\s*")

# Guests, to the end of the credit: "Ada feat. Eve", "Ada (ft. Eve)".
_GUESTS = re.compile(r"(?i)\s+[(\[]?(?:feat|ft|featuring)\b\.?\s+(?P<guests>[^)\]]*[^)\]\s])[)\]]?\s*$")

# What joins a known artist with others: "Ada & The Sea", "Ada, Eve", "Ada x Eve".
_JOINT = re.compile(
    r"(?i)(?:\s*,|\s+(?:&|\+|;|/|x|×|and|with|vs\.?|meets|und|et|y|e)|\s+[(\[]?(?:feat|ft|featuring)\b\.?)\s+"
)


def split_artists(credit: str) -> list[str]:
    """Return the artists of a credit, the main artist first; never empty for a credit that is not.

    "Ada feat. Eve" and "Ada; Eve" are two artists, "Ada & Eve" may be the name of one.
    """
    match = _GUESTS.search(credit)
    parts = [credit] if match is None else [credit[: match.start()], match["guests"]]
    names = [name.strip() for part in parts for name in _SEPARATOR.split(part)]
    return list(dict.fromkeys(name for name in names if name)) or [credit]


def without_artist(credit: str, artist: str) -> str | None:
    """Return whom a credit names besides `artist`, who comes first in it.

    "The Sea" for "Ada & The Sea" and "Ada"; None if the credit does not begin with the artist.
    """
    if not credit.casefold().startswith(artist.casefold()):
        return None
    match = _JOINT.match(credit, len(artist))
    return credit[match.end() :].strip(" )]") or None if match else None


def common_artist(credits: list[str]) -> str | None:
    """Return the artist with whom every credit begins, as the shortest credit names it, or None."""
    shortest = min(credits, key=len)
    for credit in credits:
        if credit.casefold() != shortest.casefold() and without_artist(credit, shortest) is None:
            return None
    return shortest


def is_various(name: str) -> bool:
    """Return whether an album artist stands for several: "Various Artists", "VA"."""
    return name.strip().casefold() in _VARIOUS_NAMES
