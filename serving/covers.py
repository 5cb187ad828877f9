"""Cover art: the picture in the file, else beside it, else one generated from artist and album."""

import colorsys
import hashlib
import importlib.util
import io
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jobs.audio import decoding, tag_copy
from jobs.audio.path_tags import album_folder
from serving.catalog import Album, Catalog, Track
from serving.folder_covers import find_cover

SIZES = (96, 300, 600, 1200)

# Size of the cache.
_MAX_CACHE_BYTES = 32 * 2**20

# Larger pictures are not decoded: a small file can declare a huge one. 8,000 x 8,000 are 256 MB for a moment.
_MAX_POINTS = 64_000_000

# Of pictures with more points one at a time is in memory.
_LARGE_POINTS = 4_000_000
_ONE_LARGE_PICTURE = threading.Lock()

# Tracks of an album whose files are looked into: at first, and if the folder has no picture either.
_N_TRACKS_TRIED, _MAX_TRACKS_TRIED = 3, 30

# Pairs of hues of the generated covers, degrees; chosen by eye.
_HUES = ((255, 320), (200, 265), (335, 20), (170, 225), (15, 45), (280, 345), (140, 190), (225, 290))


class Covers:
    """Covers as JPEG, by album and size; the most recently used are cached.

    All tracks of an album have its cover, so that it is decoded once.
    """

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def jpeg(self, catalog: Catalog, track: Track, size: int) -> bytes:
        """Return the square cover of a track's album; `size` (pixels) is rounded up to the next of SIZES."""
        points = next((each for each in SIZES if each >= size), SIZES[-1])
        key = (catalog.version, track.album_id, points)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        picture = album_cover(catalog, catalog.albums[track.album_id]) or generated_cover(track)
        out = io.BytesIO()
        picture.resize((points, points), Image.Resampling.LANCZOS).save(out, "JPEG", quality=82)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = out.getvalue()
                self._bytes += len(self._cache[key])
            while self._bytes > _MAX_CACHE_BYTES:
                self._bytes -= len(self._cache.popitem(last=False)[1])
        return out.getvalue()


def album_cover(catalog: Catalog, album: Album) -> Image.Image | None:
    """Return the picture in an album's first tracks, else the one in their folder, else in a later track.

    None if there is none.
    """
    first, later = album.tracks[:_N_TRACKS_TRIED], album.tracks[_N_TRACKS_TRIED:_MAX_TRACKS_TRIED]
    return _in_tracks(catalog, first) or _in_folders(catalog, first) or _in_tracks(catalog, later)


def _in_tracks(catalog: Catalog, tracks: Sequence[Track]) -> Image.Image | None:
    for track in tracks:
        file = catalog.original_file(track) or catalog.audio_file(track)
        picture = embedded_cover(file) if file is not None else None
        if picture is not None:
            return picture
    return None


def _in_folders(catalog: Catalog, tracks: Sequence[Track]) -> Image.Image | None:
    folders = dict.fromkeys(
        folder
        for track in tracks
        for folder in (Path(track.path).parent, Path(album_folder(Path(track.path))))
    )
    for folder in folders:
        cover = find_cover(folder)
        readable = catalog.readable(str(cover)) if cover is not None else None
        if readable is not None:
            picture = _square(readable)
            if picture is not None:
                return picture
    return None


def embedded_cover(file: Path) -> Image.Image | None:
    """Return the file's front cover, else its first picture, cropped to a square; None if unreadable."""
    try:
        tagged = decoding.open_tags(str(file))
        found = tag_copy.pictures(tagged) if tagged is not None else []
    except Exception:  # noqa: BLE001 - mutagen raises many kinds, and a cover is no reason to fail
        return None
    pictures = (
        _square(io.BytesIO(picture.data)) for picture in sorted(found, key=lambda each: each.type != 3)
    )
    return next((picture for picture in pictures if picture is not None), None)


def _square(source: Path | io.BytesIO) -> Image.Image | None:
    """Return a picture cropped to a square and not much larger than needed; None if it cannot be read."""
    try:
        with Image.open(source) as image:
            points = image.width * image.height
            if points > _MAX_POINTS:
                return None
            image.draft("RGB", (SIZES[-1], SIZES[-1]))  # a large JPEG is scaled while it is decoded
            with _ONE_LARGE_PICTURE if points > _LARGE_POINTS else nullcontext():
                return _crop(image)
    except Exception:  # noqa: BLE001 - Pillow raises many kinds, too; the next picture may be readable
        return None


def _crop(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    factor = side // SIZES[-1]
    if image.mode in ("RGB", "RGBA", "L") and factor > 1:  # scaled before a conversion, which makes a copy
        return image.reduce(factor, box).convert("RGB")
    return image.crop(box).convert("RGB")


def generated_cover(track: Track) -> Image.Image:
    """Draw a cover: hues by the artist, shapes by the album, and the album's initials."""
    artist_name = track.album_artist or track.artist
    artist = hashlib.sha256(artist_name.encode()).digest()
    album = hashlib.sha256(f"{artist_name}\0{track.album or track.title}".encode()).digest()
    hues = _HUES[artist[0] % len(_HUES)]
    random = np.random.default_rng(list(album[:8]))
    side = 300  # a quarter of the points: soft shapes lose nothing, and a grid of albums is drawn in no time
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j].astype(np.float32)
    colours = [
        _rgb(hue + random.uniform(-12, 12), 0.62, light)
        for hue, light in zip(hues, (0.34, 0.55), strict=True)
    ]
    angle = random.uniform(0, 2 * np.pi)
    mix = 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2.2 + random.uniform(0, 3))
    image = colours[0] * (1 - mix[..., None]) + colours[1] * mix[..., None]
    for _ in range(3):  # soft circles of light and shade
        cx, cy, radius = random.uniform(-0.1, 1.1), random.uniform(-0.1, 1.1), random.uniform(0.22, 0.6)
        distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
        edge = np.clip((radius - distance) * side / 2, 0, 1)
        fade = edge * (0.4 + 0.6 * distance / radius)
        tint = np.array([255, 255, 255] if random.random() < 0.6 else [20, 8, 40], np.float32)
        image += (tint - image) * (0.16 * fade)[..., None]
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8), "RGB")
    picture = picture.resize((600, 600), Image.Resampling.BICUBIC)
    _write_initials(picture, track)
    return picture


def _rgb(hue: float, saturation: float, lightness: float) -> np.ndarray:
    return 255 * np.array(colorsys.hls_to_rgb((hue % 360) / 360, lightness, saturation), np.float32)


def _write_initials(picture: Image.Image, track: Track) -> None:
    words = [word for word in (track.album or track.title).split() if word[:1].isalnum()]
    initials = "".join(_without_accent(word[0]) for word in words[:2]).upper() or "♪"
    # Pillow's own font has ASCII letters; the fallback font most alphabets, and a note stands for the rest.
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.load_default(size=190)
    if not initials.isascii():
        font = ImageFont.truetype(_fallback_font(), 170)
        if any(_is_missing(font, letter) for letter in initials):
            initials = "♪"
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.text((48, picture.height - 44), initials, font=font, fill=(255, 255, 255, 225), anchor="ls")


def _without_accent(letter: str) -> str:
    """Return the letter without its accent."""
    return unicodedata.normalize("NFKD", letter)[0]


def _fallback_font() -> str:
    """Return DejaVu Sans of matplotlib, without importing matplotlib (a second and 30 MB)."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.origin is not None  # in setup.cfg
    return str(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")


def _is_missing(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Return whether the font draws its placeholder box for this letter."""
    return bytes(font.getmask(letter)) == bytes(font.getmask("\uffff"))
