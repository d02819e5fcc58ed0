"""What an app gets and how it says no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from emulator.media import Media, MediaError
from emulator.problems import Invalid, Problem, invalid


class StepError(Exception):
    """A step failed with this HTTP status and body, as the app's endpoint would have answered."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"status {status}")

    @classmethod
    def unprocessable(cls, error: Invalid) -> StepError:
        """The 422 with which an app's endpoint refuses its input."""
        return cls(422, error.below(("body",)).as_json())


@dataclass(frozen=True)
class Call:
    """One submission of an app.

    ``paths`` is what the rest of the workflow reads from the output, for the placeholder. The
    accessors raise `Invalid` with locations inside the input; null counts as not given.
    """

    app: str
    input: dict[str, Any]
    media: Media
    random: Random
    paths: Sequence[tuple[str, ...]] = ()

    def text(self, name: str) -> str:
        """A required text."""
        value = self.input.get(name)
        if value is None:
            raise invalid((name,), "field required", "value_error.missing")
        if not isinstance(value, str):
            raise invalid((name,), "str type expected", "type_error.str")
        return value

    def integer(
        self, name: str, *, default: int, at_least: int | None = None, at_most: int | None = None
    ) -> int:
        """An optional whole number; the limits do not apply to the default."""
        value = self.input.get(name)
        if value is None:
            return default
        return check_integer(value, (name,), at_least, at_most)

    def picture(self, name: str) -> Image.Image:
        """The picture at a required address; see `Media.fetch`."""
        try:
            return self.media.fetch(self.text(name))
        except MediaError as error:
            raise Invalid([Problem((name,), str(error), "value_error.image")]) from None


def check_integer(
    value: Any, loc: tuple[str | int, ...], at_least: int | None, at_most: int | None
) -> int:
    """The value when it is a whole number within the limits, with fal's wording when it is not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(loc, "value is not a valid integer", "type_error.integer")
    if at_least is not None and value < at_least:
        msg = f"ensure this value is greater than or equal to {at_least}"
        raise invalid(loc, msg, "value_error.number.not_ge", limit_value=at_least)
    if at_most is not None and value > at_most:
        msg = f"ensure this value is less than or equal to {at_most}"
        raise invalid(loc, msg, "value_error.number.not_le", limit_value=at_most)
    return value
