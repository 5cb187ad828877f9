"""Album covers: one picture per album, drawn in its style from three colours, with artist and title.

A painter draws on a canvas of CANVAS by CANVAS pixels with a palette (ground, figure, accent; RGB, 0 to 255)
and a random generator. The canvas is twice the cover's size: halving it smooths the edges.
"""

import colorsys
import io
import math
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CANVAS = 1000
SIZE = 500

Colour = tuple[int, int, int]
Palette = tuple[Colour, Colour, Colour]
Painter = Callable[[ImageDraw.ImageDraw, Palette, np.random.Generator], None]


@lru_cache(maxsize=8)
def draw_cover(style: str, artist: str, title: str) -> bytes:
    """Return an album's cover as a JPEG of SIZE by SIZE pixels: the same bytes for the same names."""
    rng = np.random.default_rng(zlib.crc32(f"{artist}/{title}".encode()))
    palette = _palette(style, rng)
    image = Image.new("RGB", (CANVAS, CANVAS), palette[0])
    draw = ImageDraw.Draw(image)
    _PAINTERS[style](draw, palette, rng)
    _draw_names(draw, palette, artist, title)
    data = io.BytesIO()
    image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(data, "JPEG", quality=88)
    return data.getvalue()


# Per style: ground, figure and accent as (hue in turns, saturation, value).
_HUES = {
    "ambient": ((0.60, 0.45, 0.32), (0.55, 0.25, 0.80), (0.09, 0.35, 0.98)),
    "chiptune": ((0.72, 0.60, 0.20), (0.40, 0.75, 0.90), (0.92, 0.70, 1.00)),
    "house": ((0.85, 0.65, 0.28), (0.98, 0.68, 0.95), (0.13, 0.70, 1.00)),
    "waltz": ((0.12, 0.12, 0.95), (0.36, 0.50, 0.42), (0.02, 0.65, 0.80)),
    "drum_and_bass": ((0.58, 0.30, 0.10), (0.53, 0.75, 0.75), (0.18, 0.85, 0.98)),
    "swing": ((0.10, 0.10, 0.93), (0.60, 0.75, 0.45), (0.06, 0.85, 0.92)),
    "dub": ((0.14, 0.65, 0.95), (0.38, 0.75, 0.40), (0.99, 0.75, 0.78)),
    "march": ((0.99, 0.75, 0.62), (0.12, 0.60, 0.98), (0.10, 0.10, 0.97)),
}


def _palette(style: str, rng: np.random.Generator) -> Palette:
    """Return the style's colours, all hues shifted by one small angle that differs from album to album."""
    shift = float(rng.uniform(-0.085, 0.085))
    ground, figure, accent = (
        tuple(round(255 * part) for part in colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value))
        for hue, saturation, value in _HUES[style]
    )
    return ground, figure, accent  # type: ignore[return-value]


def _mix(start: Colour, end: Colour, fraction: float) -> Colour:
    """Interpolate between two colours; `fraction` is 0 at `start` and 1 at `end`."""
    red, green, blue = (round(a + fraction * (b - a)) for a, b in zip(start, end, strict=True))
    return red, green, blue


def _draw_names(draw: ImageDraw.ImageDraw, palette: Palette, artist: str, title: str) -> None:
    """Write title and artist on a band at the bottom, as large as they fit."""
    ground, _, accent = palette
    is_dark = sum(ground) < 330
    band = _mix(ground, (0, 0, 0), 0.25) if is_dark else _mix(ground, (255, 255, 255), 0.35)
    ink = (24, 22, 28)
    draw.rectangle((0, 800, CANVAS, CANVAS), fill=band)
    _draw_fitted(draw, title, 824, 76, accent if is_dark else ink)
    _draw_fitted(draw, artist, 915, 46, (245, 243, 238) if is_dark else _mix(ink, band, 0.25))


def _draw_fitted(draw: ImageDraw.ImageDraw, text: str, top: int, size: int, colour: Colour) -> None:
    """Write a text in a font size at which it fits into the width."""
    font = ImageFont.load_default(size)
    while draw.textlength(text, font=font) > CANVAS - 120:
        size -= 2
        font = ImageFont.load_default(size)
    draw.text((60, top), text, font=font, fill=colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _hills(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """Ambient: a sky, a low sun, ranges of hills in the haze."""
    ground, figure, accent = palette
    for row in range(CANVAS):
        draw.line((0, row, CANVAS, row), fill=_mix(figure, accent, min(1, row / 620)))
    x, y = float(rng.uniform(250, 750)), float(rng.uniform(260, 400))
    for ring in range(12, 0, -1):
        _disc(draw, x, y, 60 + 14 * ring, _mix(_mix(figure, accent, y / 620), (255, 252, 240), 1 - ring / 13))
    across = np.arange(0, CANVAS + 20, 20)
    for layer in range(5):
        phases = rng.uniform(0, 2 * np.pi, 3)
        ridge = sum(np.sin(across / (190 / (k + 1)) + phase) * 34 / (k + 1) for k, phase in enumerate(phases))
        line = list(zip(across.tolist(), (440 + 80 * layer + ridge).tolist(), strict=True))
        draw.polygon([(0, CANVAS), *line, (CANVAS, CANVAS)], fill=_mix(accent, ground, 0.25 + 0.17 * layer))


def _sprites(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """Chiptune: stars and sixteen symmetric creatures of eight by eight pixels."""
    for x, y in rng.integers(0, 100, (70, 2)) * 10:
        draw.rectangle((int(x), int(y), int(x) + 5, int(y) + 5), fill=_mix(palette[0], (255, 255, 255), 0.5))
    for creature in range(16):
        half = rng.random((8, 4)) < np.array([0.35, 0.55, 0.7, 0.8])
        left, top = 80 + 220 * (creature % 4), 60 + 180 * (creature // 4)
        colour = _mix(palette[1 + creature // 8], (255, 255, 255), (0, 0.45, 0.45, 0)[creature // 4])
        for row, column in np.argwhere(np.hstack([half, half[:, ::-1]])):
            x, y = left + 18 * int(column), top + 18 * int(row)
            draw.rectangle((x, y, x + 17, y + 17), fill=colour)


def _sunset(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """House: a striped sun over a floor of lights."""
    ground, figure, accent = palette
    x, horizon = float(rng.uniform(380, 620)), 560
    for y in range(150, horizon):
        width = math.sqrt(max(0.0, 300**2 - (y - 460) ** 2))
        if (y - 150) % 46 < 46 - 34 * (y - 150) / 410:
            draw.line((x - width, y, x + width, y), fill=_mix(accent, figure, (y - 150) / 410), width=2)
    for row in range(9):
        top = horizon + 3 * row * (row + 4)
        for column in range(-12, 13):
            spread = 46 + 16 * row
            glow = float(rng.random())
            left = x + column * spread
            draw.rectangle(
                (left, top, left + spread * 0.82, top + 10 + 5 * row),
                fill=_mix(ground, figure, 0.15 + 0.7 * glow),
            )


def _flower(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """Waltz: stems with leaves, each ending in a head of seeds set by the golden angle."""
    _, figure, accent = palette
    for x in (250, 500, 750):
        top, lean = float(rng.uniform(180, 380)), float(rng.uniform(-70, 70))
        stem = [(x + lean * (1 - s) ** 2, top + (800 - top) * s) for s in np.linspace(0, 1, 30).tolist()]
        draw.line(stem, fill=figure, width=9)
        for place in (12, 17, 22):
            leaf_x, leaf_y = stem[place]
            side = 1 if (place + x) % 2 else -1
            tip = (leaf_x + side * 110, leaf_y - 70)
            draw.polygon(
                [(leaf_x, leaf_y), (leaf_x + side * 35, leaf_y - 62), tip, (leaf_x + side * 75, leaf_y - 8)],
                fill=figure,
            )
        size = float(rng.uniform(8, 11))
        _disc(draw, *stem[0], size * 5, accent)
        for seed in range(110, 0, -1):
            angle, radius = seed * 2.39996, size * math.sqrt(seed)
            colour = _mix(accent, (250, 220, 140), 1 - seed / 110)
            _disc(
                draw,
                stem[0][0] + radius * math.cos(angle),
                top + radius * math.sin(angle),
                4 + seed / 9,
                colour,
            )


def _shards(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """Drum'n'bass: broken glass flying out of one point."""
    ground, figure, accent = palette
    x, y = rng.uniform(300, 700, 2)
    for angle in np.sort(rng.uniform(0, 2 * np.pi, 64)):
        near, far, half = rng.uniform(30, 260), rng.uniform(300, 900), rng.uniform(0.01, 0.07)
        corners = [(near, 0.0), (far, -half), (far * 1.15, half * 0.4), (far * 0.9, half)]
        shard = [(float(x + r * np.cos(angle + a)), float(y + r * np.sin(angle + a))) for r, a in corners]
        brightness = float(rng.random())
        draw.polygon(shard, fill=_mix(ground, figure, brightness) if brightness < 0.85 else accent)


def _blocks(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """Swing: cut paper, as on album covers of the fifties."""
    ground, figure, accent = palette
    for row in range(6):
        left = 60
        while left < 940:
            width = int(rng.choice([70, 105, 140, 210]))
            colour = (figure, accent, _mix(figure, ground, 0.5), ground)[rng.integers(4)]
            box = (left, 60 + 120 * row, min(940, left + width - 12), 168 + 120 * row)
            draw.rectangle(box, fill=colour)
            left += width
    x, y = rng.uniform(250, 750), rng.uniform(250, 550)
    for radius, colour in ((170, ground), (150, (24, 22, 28)), (58, accent), (10, ground)):
        _disc(draw, float(x), float(y), radius, colour)


def _echoes(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """Dub: rings that spread and fade from a sun into the three colours of a flag."""
    ground, figure, accent = palette
    for stripe, colour in enumerate((figure, ground, accent)):
        draw.rectangle((0, 267 * stripe, CANVAS, 267 * (stripe + 1)), fill=colour)
    x, y = float(rng.uniform(300, 700)), float(rng.uniform(300, 500))
    for ring in range(14, 0, -1):
        radius = 30 * ring + float(rng.uniform(-6, 6))
        _disc(
            draw,
            x + 4 * ring,
            y,
            radius,
            (24, 22, 28) if ring % 2 else (accent, ground, figure)[ring // 2 % 3],
        )


def _rays(draw: ImageDraw.ImageDraw, palette: Palette, rng: np.random.Generator) -> None:
    """March: rays behind a star, bunting above."""
    ground, figure, accent = palette
    x, y, count = 500.0, 470.0, int(rng.integers(12, 19))
    for ray in range(count):
        edges = [2 * math.pi * (ray + part) / count for part in (0.0, 0.5)]
        corners = [(x + 900 * math.cos(angle), y + 900 * math.sin(angle)) for angle in edges]
        draw.polygon([(x, y), *corners], fill=_mix(ground, figure, 0.55))
    for radius, colour in ((285, ground), (262, accent), (240, ground)):
        _disc(draw, x, y, radius, colour)
    points = 2 * int(rng.integers(5, 9))
    star = [(210 if k % 2 == 0 else 95, math.pi * (2 * k / points - 0.5)) for k in range(points)]
    draw.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in star], fill=figure)
    for flag in range(10):
        left, colour = 100 * flag, (figure, accent)[flag % 2]
        draw.polygon([(left + 6, 0), (left + 94, 0), (left + 50, 96)], fill=colour)


_PAINTERS: dict[str, Painter] = {
    "ambient": _hills,
    "chiptune": _sprites,
    "house": _sunset,
    "waltz": _flower,
    "drum_and_bass": _shards,
    "swing": _blocks,
    "dub": _echoes,
    "march": _rays,
}
