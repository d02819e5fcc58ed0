"""``fal-ai/imageutils/rembg``: makes the background of a picture transparent."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from emulator.apps.call import Call

TOLERANCE = 34
"""How far a colour channel may be from the border's colour and still count as background."""

_BACKGROUND, _OTHER, _FLOODED = 255, 0, 128


def rembg(call: Call) -> dict[str, Any]:
    """Background removal. Input: ``image_url``."""
    picture = remove_background(call.picture("image_url"))
    return {"image": call.media.publish(picture), "timings": {}}


def remove_background(picture: Image.Image) -> Image.Image:
    """The picture with alpha 0 wherever a flood from its borders reaches.

    Background-coloured areas inside the subject stay. Transparency already there stays as well.
    """
    picture = picture.convert("RGBA")
    likeness = _like_border(picture.convert("RGB"))
    flooded = Image.frombytes("L", likeness.size, _flood(likeness.tobytes(), *likeness.size))
    kept = flooded.point([_OTHER if value == _FLOODED else 255 for value in range(256)])
    soft = kept.filter(ImageFilter.GaussianBlur(1))
    picture.putalpha(ImageChops.multiply(picture.getchannel("A"), ImageChops.darker(kept, soft)))
    return picture


def _like_border(picture: Image.Image) -> Image.Image:
    border = Image.new("L", picture.size, 0)
    ImageDraw.Draw(border).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=255)
    red, green, blue = (round(value) for value in ImageStat.Stat(picture, border).median)
    away = ImageChops.difference(picture, Image.new("RGB", picture.size, (red, green, blue)))
    r, g, b = away.split()
    furthest = ImageChops.lighter(ImageChops.lighter(r, g), b)
    return furthest.point([_BACKGROUND if value <= TOLERANCE else _OTHER for value in range(256)])


def _flood(pixels: bytes, width: int, height: int) -> bytes:
    """Mark all background pixels joined to the border, a whole row span at a time.

    Spans are found and filled by ``bytearray`` methods, so the cost follows the number of spans and
    not the number of pixels.
    """
    field = bytearray(pixels)
    rows = [(row, 0, width) for row in (0, height - 1)]
    sides = [(row, x, x + 1) for row in range(height) for x in (0, width - 1)]
    waiting = rows + sides
    while waiting:
        row, left, right = waiting.pop()
        start, end = row * width, (row + 1) * width
        found = field.find(_BACKGROUND, start + left, start + right)
        while found != -1:
            span_left = max(field.rfind(_OTHER, start, found), field.rfind(_FLOODED, start, found))
            span_left = max(span_left + 1, start)
            span_right = field.find(_OTHER, found, end)
            span_right = end if span_right == -1 else span_right
            field[span_left:span_right] = bytes([_FLOODED]) * (span_right - span_left)
            span = (span_left - start, span_right - start)
            waiting += [(near, *span) for near in (row - 1, row + 1) if 0 <= near < height]
            found = field.find(_BACKGROUND, span_right, start + right)
    return bytes(field)
