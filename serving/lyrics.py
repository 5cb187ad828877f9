"""The lyrics of a track."""

from jobs.audio.lyrics import Lyrics, read_lyrics
from serving.catalog import Catalog, Track


def lyrics_of(catalog: Catalog, track: Track) -> list[Lyrics]:
    """Return the lyrics of a track's file in the library, else of the compressed one.

    They are read when they are asked for: a collection's lyrics would fill the memory.
    """
    for file in (catalog.original_file(track), catalog.audio_file(track)):
        try:
            found = read_lyrics(str(file)) if file is not None else []
        except OSError:
            continue
        if found:
            return found
    return []
