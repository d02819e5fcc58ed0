"""What an output says of itself: the work's time, images, their size, the seed, what is flagged.

fal documents none of these as required; whatever is absent or makes no sense is unknown, and nothing raises.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from recorder import lenient_json

MAX_PIXELS: Final = 2**31 - 1
"""No picture is wider or higher; a larger figure is a mistake."""

MAX_INFERENCE_S: Final = 30 * 24 * 3600
"""No step of a run takes a month; a larger figure is a mistake of units or worse."""

_MAX_SEED: Final = 2**256
"""Seeds beyond 64 bits exist; beyond this they are no seeds."""


class Facts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Facts of an output; what is unknown is None. As JSON an array, as in rows of a query.

    Attributes:
        images: How many images it holds.
        image_width, image_height: Of the first one, in pixels, at least 1.
        seed: In decimal, for it may exceed 64 bits.
        nsfw: How many of the images are flagged.
    """

    images: int | None = None
    image_width: int | None = None
    image_height: int | None = None
    seed: str | None = None
    nsfw: int | None = None


NO_FACTS: Final = Facts()


class Told(msgspec.Struct, frozen=True, gc=False):
    """What an output tells, and what was odd about its time; see `inference_us`."""

    facts: Facts = NO_FACTS
    inference_us: int | None = None
    anomaly: str | None = None


_NOTHING: Final = Told()


_Pixels = Annotated[int, msgspec.Meta(ge=1, le=MAX_PIXELS)]


class _Image(msgspec.Struct, gc=False):
    width: _Pixels | None = None
    height: _Pixels | None = None


class _Timings(msgspec.Struct, gc=False):
    inference: Any = None


class _Output(msgspec.Struct, gc=False):
    """The documented types. Nothing else in the output is read, such as the bytes of a data URI."""

    timings: _Timings | None = None
    images: list[_Image] | None = None
    image: _Image | None = None
    seed: int | None = None
    has_nsfw_concepts: list[bool] | None = None


class _OddOutput(msgspec.Struct, gc=False):
    timings: Any = None
    images: Any = None
    image: Any = None
    seed: Any = None
    has_nsfw_concepts: Any = None


_decode: Final = msgspec.json.Decoder(_Output).decode
_decode_odd: Final = msgspec.json.Decoder(_OddOutput).decode


def read_output(output: bytes | None) -> Told:
    """Reads the output of a step or a run, JSON text as it came. Pure and total."""
    if output is None or len(output) <= 2:  # {} is what many a workflow ends with
        return _NOTHING
    try:
        read = _decode(output)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _read_odd(output)
    images = read.images
    if images is None and read.image is not None:
        images = [read.image]
    first = images[0] if images else None
    flags = read.has_nsfw_concepts
    facts = Facts(
        None if images is None else len(images),
        None if first is None else first.width,
        None if first is None else first.height,
        None if read.seed is None else _seed(read.seed),
        None if flags is None else sum(flags),
    )
    return Told(facts, *inference_us(read.timings and read.timings.inference))


def _read_odd(output: bytes) -> Told:
    """Takes what makes sense of an output that is not quite what fal documents, or not quite JSON."""
    try:
        read = _decode_odd(output)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        read = _read_leniently(output)
    timings = read.timings if isinstance(read.timings, dict) else {}
    count, first = _images(read)
    facts = Facts(
        count,
        _pixels(first.get("width")),
        _pixels(first.get("height")),
        _seed(read.seed),
        _flagged(read.has_nsfw_concepts),
    )
    return Told(facts, *inference_us(timings.get("inference")))


def _read_leniently(output: bytes) -> _OddOutput:
    try:
        value = lenient_json.loads(output)
    except (ValueError, RecursionError):
        return _OddOutput()
    if not isinstance(value, dict):
        return _OddOutput()
    return _OddOutput(**{name: value.get(name) for name in _OddOutput.__struct_fields__})


def _images(read: _OddOutput) -> tuple[int | None, dict[str, Any]]:
    """How many images, and the first. An image is an object, or the text of its address."""
    images = read.images if read.images is not None else read.image
    images = images if isinstance(images, list) else [images]
    if not all(isinstance(image, dict | str) for image in images):
        return None, {}
    return len(images), images[0] if images and isinstance(images[0], dict) else {}


def _pixels(value: object) -> int | None:
    return value if type(value) is int and 1 <= value <= MAX_PIXELS else None


def _seed(value: object) -> str | None:
    return str(value) if type(value) is int and -_MAX_SEED < value < _MAX_SEED else None


def _flagged(flags: object) -> int | None:
    flags = flags if isinstance(flags, list) else [flags]
    return sum(flags) if all(type(flag) is bool for flag in flags) else None


def inference_us(seconds: object) -> tuple[int | None, str | None]:
    """Returns what an app says its work took in microseconds, and an anomaly where that is nonsense.

    Sense makes a finite number >= 0 (of seconds, by fal's documentation); absent or null is no
    anomaly.
    """
    if seconds is None:
        return None, None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None, "bad_inference"
    if not 0 <= seconds <= MAX_INFERENCE_S:  # false for NaN as well
        return None, "bad_inference"
    return round(seconds * 1_000_000), None
