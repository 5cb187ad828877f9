"""The albums of the demo library: every name is invented.

Two dozen albums are listed, three per style. A larger library gets generated ones, composed from words by
number, so that album 500 is the same for every size of the library.
"""

from dataclasses import dataclass

from jobs.demo.styles import STYLES

# Artists per style in one round.
ARTISTS = 3
# Tracks per album.
TRACKS = 3


@dataclass(frozen=True)
class Album:
    """An artist's album. `file_format` is an extension, or `fma` for MP3 files named as in FMA's archives."""

    artist: str
    title: str
    year: int
    file_format: str
    tracks: tuple[str, ...]


_LISTED = {
    "ambient": (
        Album("Harbour of Glass", "Tidewater Letters", 2014, "mp3",
              ("Low Light on the Estuary", "Salt and Silence", "The Lamps Come On")),
        Album("Ilse Verano", "Rooms Without Clocks", 2019, "fma",
              ("North-Facing Window", "Dust in the Afternoon", "A Slow Unfolding")),
        Album("Polar Cartography", "Meridian Sleep", 2009, "flac",
              ("Ice Shelf Lullaby", "Seventy Degrees North", "Aurora, Fading")),
    ),
    "chiptune": (
        Album("Cartridge Kids", "Press Start, Please", 2011, "ogg",
              ("Level One Optimism", "Coin-Op Daydream", "The Boss Is Nervous Too")),
        Album("Bit Marmalade", "Eight Bits of Toast", 2016, "mp3",
              ("Jam on Both Sides", "Save Point Sunrise", "Pixel Picnic")),
        Album("Sir Blip", "Quest for the Lost Cable", 2008, "fma",
              ("Castle of Resistors", "Dungeon Jog", "A Princess in Another Port")),
    ),
    "house": (
        Album("Mezzanine Motel", "Checkout at Noon", 2018, "fma",
              ("Lobby Lights", "Rooftop, Four in the Morning", "Room Service")),
        Album("Odette & the Circuit", "Warm Machines", 2021, "mp3",
              ("Hands on the Fader", "Copper Heart", "Sunday Voltage")),
        Album("Night Bakery", "Proof", 2013, "m4a",
              ("Rise Slowly", "Flour on the Dancefloor", "Last Tray")),
    ),
    "waltz": (
        Album("The Willow Ferry", "Crossing Songs", 2006, "mp3",
              ("The Ferryman's Waltz", "Three Steps to the Jetty", "Reeds in the Wind")),
        Album("Hanna Fjellgard", "Spruce and Gut", 2012, "ogg",
              ("Waltz for a Carpenter", "Snow on the Lute Case", "Grandmother's Ring")),
        Album("Two Acres", "Orchard Time", 2017, "fma",
              ("Apple Ladder", "Bees in October", "The Long Table")),
    ),
    "drum_and_bass": (
        Album("Kestrel Unit", "Wingbeat", 2003, "fma",
              ("Thermal Column", "Hover and Drop", "Prey Drive")),
        Album("Mira Static", "Glass Velocity", 2020, "mp3",
              ("Rain at 174", "Headlight Garden", "Terminal Bloom")),
        Album("Sublevel Nine", "Service Tunnels", 1999, "opus",
              ("Concrete Lung", "Pressure Door", "Emergency Stairs")),
    ),
    "swing": (
        Album("The Corner Booth Quintet", "Pie at Midnight", 1961, "mp3",
              ("Second Helping", "The Waitress Knows", "Neon and Rye")),
        Album("Leonard Quill Trio", "Ink and Brushes", 1958, "flac",
              ("Blotter", "Fountain Pen Bounce", "Yours, Leonard")),
        Album("Opal Street Six", "Fire Escape", 1965, "ogg",
              ("Laundry Line", "Hydrant Summer", "Uptown Local")),
    ),
    "dub": (
        Album("King Lagoon", "Echo in the Mangroves", 1977, "mp3",
              ("Low Tide Version", "Crab Walk Dub", "Lantern Dub")),
        Album("Bassline Botanists", "Roots and Capacitors", 2010, "mp3",
              ("Fern Dub", "Greenhouse Steppers", "Photosynthesis Version")),
        Album("Roto & the Tape Ghosts", "Spring Tank", 1981, "wav",
              ("Wow and Flutter", "Ghost Note Dub", "Rewind the River")),
    ),
    "march": (
        Album("The Lamplighters' Brass Band", "Evening Parade", 1969, "fma",
              ("March of the Lamplighters", "Down Cobble Hill", "The Mayor's New Hat")),
        Album("Fjord City Winds", "Harbour Day", 2004, "mp3",
              ("Flags over the Quay", "Tugboat Two-Step", "Salute the Ferry")),
        Album("The Tin Regiment", "Toy Soldiers on Leave", 1983, "mp3",
              ("Clockwork Quickstep", "Left, Right, Lemonade", "A Medal for the Drummer Boy")),
    ),
}  # fmt: skip

# Two lists of coprime length: stepping through both at once gives 23 * 24 different pairs.
_FIRST = [
    "Amber",
    "Autumn",
    "Basalt",
    "Cedar",
    "Cobalt",
    "Copper",
    "Distant",
    "Early",
    "Emerald",
    "Golden",
    "Hollow",
    "Indigo",
    "Ivory",
    "Juniper",
    "Little",
    "Lunar",
    "Marble",
    "Northern",
    "Paper",
    "Quiet",
    "Scarlet",
    "Velvet",
    "Wandering",
]
_SECOND = [
    "Anchor",
    "Arcade",
    "Balcony",
    "Beacon",
    "Canal",
    "Chapel",
    "Compass",
    "Engine",
    "Feather",
    "Garden",
    "Horizon",
    "Island",
    "Kettle",
    "Lantern",
    "Meadow",
    "Mirror",
    "Orchard",
    "Pavilion",
    "Railway",
    "River",
    "Signal",
    "Station",
    "Tower",
    "Weather",
]
_ENDINGS = {
    "ambient": ("Drift", "Stillness"),
    "chiptune": ("Quest", "Bonus Stage"),
    "house": ("Groove", "After Hours"),
    "waltz": ("Waltz", "Lullaby"),
    "drum_and_bass": ("Pressure", "Velocity"),
    "swing": ("Stomp", "Blues"),
    "dub": ("Dub", "Version"),
    "march": ("March", "Parade"),
}
_FILE_FORMATS = ("mp3", "fma", "ogg", "opus", "mp3", "m4a", "flac", "wav")


def album(style: str, number: int) -> Album:
    """Return the album of a style by its number, from 0: the listed ones first, then generated ones."""
    listed = _LISTED[style]
    if number < len(listed):
        return listed[number]
    serial = (number - len(listed)) * len(STYLES) + list(STYLES).index(style)
    ending, second_ending = _ENDINGS[style]
    tracks = (
        f"{_pair(5 * serial + 2)} {ending}",
        f"{_pair(5 * serial + 11)} {second_ending}",
        f"{_pair(5 * serial + 17)} {ending}",
    )
    file_format = _FILE_FORMATS[(serial + number) % len(_FILE_FORMATS)]
    artist = f"{_pair(serial)} {_BANDS[style]}"
    year = 1970 + serial * 17 % 55
    return Album(artist, _pair(7 * serial + 3), year, file_format, tracks)


_BANDS = {
    "ambient": "Observatory",
    "chiptune": "Console",
    "house": "Social",
    "waltz": "Strings",
    "drum_and_bass": "Division",
    "swing": "Quartet",
    "dub": "Sound System",
    "march": "Brass",
}


def _pair(number: int) -> str:
    """Return two words; a repeated pair gets a number."""
    repeat = number // (len(_FIRST) * len(_SECOND))
    words = f"{_FIRST[number % len(_FIRST)]} {_SECOND[number % len(_SECOND)]}"
    return words if repeat == 0 else f"{words} {repeat + 1}"
