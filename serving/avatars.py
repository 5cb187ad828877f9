"""Avatars: the first letter of a user's name on a colour of the name, always the same."""

import colorsys
import hashlib
import io

from PIL import Image, ImageDraw, ImageFont

SIDE = 300


def avatar(name: str) -> bytes:
    """Return a user's avatar as PNG, SIDE pixels square."""
    hue = hashlib.sha256(name.encode()).digest()[0] / 256
    colour = tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.42, 0.5))
    picture = Image.new("RGB", (SIDE, SIDE), colour)
    font = ImageFont.load_default(size=SIDE // 2)
    centre = (SIDE // 2, SIDE // 2)
    ImageDraw.Draw(picture).text(centre, name[:1].upper(), font=font, fill="white", anchor="mm")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
