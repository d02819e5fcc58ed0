"""Whether a request is recorded, answered from what was recorded, or whichever is possible."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, cast, get_args

import msgspec

from api.proxy import headers
from recorder.capture import Endpoint
from recorder.documents import Mode as CallMode
from recorder.errors import BadQuery
from recorder.replay import Pace, read_speed
from recorder.settings import ProxySettings
from recorder.store.matches import Asked

ProxyMode = Literal["record", "replay", "auto"]

_MODES: Final = get_args(ProxyMode)
_OUTCOMES: Final[dict[str, tuple[str, ...]]] = {
    "completed": ("completed",),
    "failed": ("failed",),
    "ended": ("completed", "failed"),
    "any": ("completed", "failed", "interrupted", "cancelled"),
}
_CALLED: Final[dict[str, tuple[CallMode, ...]]] = {
    "stream": ("stream",),
    "call": ("call", "stream"),
    "submit": ("queue",),
}
_MAX_NTH: Final = 1_000_000


class Wish(msgspec.Struct, frozen=True):
    """What a client wants of the recorder, by its headers and the settings.

    Attributes:
        mode: `record` calls upstream, `replay` never does, `auto` only where nothing fits.
        pace: Of a replay.
        ignoring: Fields of the input that do not count.
        statuses: How a run must have ended to be replayed.
        nth: Which of those that fit, 1 for the newest.
        parent: The run this one is a rerun of.
    """

    mode: ProxyMode
    pace: Pace
    ignoring: tuple[str, ...]
    statuses: tuple[str, ...]
    nth: int
    parent: str | None

    def asked(self, endpoint: Endpoint, body: bytes) -> Asked:
        """What a recorded run has to be like to answer a request."""
        return Asked(
            app=endpoint.app,
            modes=_CALLED[endpoint.kind],
            body=body,
            ignoring=self.ignoring,
            statuses=self.statuses,
            nth=self.nth,
        )


def read_wish(given: headers.Pairs, settings: ProxySettings) -> Wish:
    """What a client wants.

    Raises:
        BadQuery: A header makes no sense; it is named.
    """
    told = _told(given)
    mode = told.get(b"mode") or settings.mode
    if mode not in _MODES:
        raise BadQuery("x-recorder-mode", f"is one of {', '.join(_MODES)}")
    outcome = told.get(b"outcome") or ("completed" if mode == "auto" else "ended")
    if outcome not in _OUTCOMES:
        raise BadQuery("x-recorder-outcome", f"is one of {', '.join(_OUTCOMES)}")
    ignored = told.get(b"ignore")
    return Wish(
        mode=cast("ProxyMode", mode),
        pace=Pace(_speed(told.get(b"speed") or settings.replay_speed)),
        ignoring=settings.replay_ignore if ignored is None else _words(ignored),
        statuses=_OUTCOMES[outcome],
        nth=_nth(told.get(b"match") or "newest"),
        parent=told.get(b"parent"),
    )


def _told(given: headers.Pairs) -> dict[bytes, str]:
    """What a client tells the recorder, by the rest of the headers' names; of each the first."""
    prefix = headers.CONTROL_PREFIX
    own = [(name, value) for name, value in given if name.startswith(prefix)]
    return {
        name.removeprefix(prefix): value.decode("latin-1").strip() for name, value in reversed(own)
    }


@lru_cache(maxsize=64)
def _speed(text: str) -> float | None:
    try:
        return read_speed(text)
    except BadQuery as error:
        raise BadQuery("x-recorder-speed", error.reason) from None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _nth(text: str) -> int:
    if text == "newest":
        return 1
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= _MAX_NTH):
        raise BadQuery("x-recorder-match", f"is newest, or a number from 1 to {_MAX_NTH}")
    return int(text)
