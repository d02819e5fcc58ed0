"""``fal-ai/fast-sdxl``: draws a little creature for a prompt, always the same for the same seed."""

from __future__ import annotations

import colorsys
import hashlib
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

from PIL import Image, ImageDraw

from emulator.apps.call import Call, check_integer
from emulator.problems import invalid

MAX_IMAGES = 8
_SIDE_LIMITS = (64, 2048)
_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
_OVERSAMPLING = 2

Colour: TypeAlias = tuple[int, int, int]


def fast_sdxl(call: Call) -> dict[str, Any]:
    """Text to image. Input: ``prompt``, ``image_size``, ``num_images`` (at most 8), ``seed``."""
    prompt = call.text("prompt")
    count = call.integer("num_images", default=1, at_least=1, at_most=MAX_IMAGES)
    seed = call.integer("seed", default=call.random.getrandbits(31))
    size = _size(call.input.get("image_size"))
    pictures = [draw(prompt, seed + number, size) for number in range(count)]
    return {
        "images": [call.media.publish(picture) for picture in pictures],
        "timings": {},
        "seed": seed,
        "has_nsfw_concepts": [False] * count,
        "prompt": prompt,
    }


def draw(prompt: str, seed: int, size: tuple[int, int]) -> Image.Image:
    """A creature on a plain, softly lit background; a pure function of its arguments."""
    # hexadecimal: Python refuses to write very long integers in decimal
    digest = hashlib.sha256(f"{seed:x}\0{prompt}".encode("utf-8", "surrogatepass")).digest()
    traits = iter(byte / 255 for byte in digest)
    hue = next(traits)
    canvas = _background(hue, (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING))
    _creature(ImageDraw.Draw(canvas), canvas.size, (hue + 0.35 + 0.3 * next(traits)) % 1, traits)
    return canvas.reduce(_OVERSAMPLING)


def _size(value: Any) -> tuple[int, int]:
    if value is None:
        return _SIZES["square_hd"]
    if isinstance(value, dict):
        width, height = (
            check_integer(value.get(side), ("image_size", side), *_SIDE_LIMITS)
            for side in ("width", "height")
        )
        return width, height
    if isinstance(value, str) and value in _SIZES:
        return _SIZES[value]
    names = ", ".join(repr(name) for name in _SIZES)
    msg = f"value is not a valid enumeration member; permitted: {names}"
    raise invalid(("image_size",), msg, "type_error.enum")


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _background(hue: float, size: tuple[int, int]) -> Image.Image:
    """One colour, a little darker towards the bottom: plain enough to be cut away again."""
    strip = Image.new("RGB", (1, 2))
    strip.putpixel((0, 0), _colour(hue, 0.16, 0.97))
    strip.putpixel((0, 1), _colour(hue, 0.2, 0.92))
    return strip.resize(size, Image.Resampling.BILINEAR)


def _creature(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], hue: float, traits: Iterator[float]
) -> None:
    fur = _colour(hue, 0.62, 0.82)
    shade = _colour(hue, 0.7, 0.6)
    belly = _colour(hue + 0.06, 0.3, 0.98)
    x, y = size[0] / 2, size[1] * 0.54
    unit = min(size) * (0.24 + 0.05 * next(traits))
    ear_width, ear_height = unit * (0.22 + 0.2 * next(traits)), unit * (0.45 + 0.5 * next(traits))
    for side in (-1, 1):
        _ellipse(pen, x + side * unit * 0.55, y - unit * 0.85, ear_width, ear_height, shade)
        _ellipse(pen, x + side * unit * 0.5, y + unit * 0.92, unit * 0.3, unit * 0.2, shade)
    lobes, depth = 3 + int(next(traits) * 9), 0.03 + 0.07 * next(traits)
    pen.polygon(_blob((x, y), unit, lobes, depth, next(traits) * math.tau), fill=fur)
    _ellipse(pen, x, y + unit * 0.35, unit * 0.55, unit * 0.5, belly)
    for number in range(int(next(traits) * 5)):
        angle = math.pi * (1.15 + 0.7 * (number + next(traits)) / 5)
        spot = unit * (0.05 + 0.07 * next(traits))
        _ellipse(pen, x + unit * 0.75 * math.cos(angle), y + unit * 0.75 * math.sin(angle),
                 spot, spot, shade)  # fmt: skip
    _face(pen, x, y - unit * 0.2, unit, next(traits))


def _face(pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, mood: float) -> None:
    dark, white = (38, 32, 44), (255, 255, 255)
    eye = unit * (0.12 + 0.06 * mood)
    for side in (-1, 1):
        eye_x = x + side * unit * 0.36
        _ellipse(pen, eye_x, y, eye, eye * 1.2, dark)
        _ellipse(pen, eye_x + eye * 0.3, y - eye * 0.45, eye * 0.32, eye * 0.32, white)
    _ellipse(pen, x, y + unit * 0.22, unit * 0.09, unit * 0.06, dark)
    smile = unit * (0.14 + 0.12 * mood)
    box = (x - smile, y + unit * 0.2, x + smile, y + unit * 0.2 + smile)
    pen.arc(box, 20, 160, fill=dark, width=max(2, round(unit * 0.035)))


def _ellipse(  # noqa: PLR0917 - a centre, two radii and a colour
    pen: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, fill: Colour
) -> None:
    pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)


def _blob(
    centre: tuple[float, float], radius: float, lobes: int, depth: float, turn: float
) -> list[tuple[float, float]]:
    x, y = centre
    points = []
    for step in range(240):
        angle = step / 240 * math.tau
        reach = radius * (1 + depth * math.sin(lobes * angle + turn))
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return points
