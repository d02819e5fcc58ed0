"""What the demo runs: two workflows on many prompts, and every kind of failure fal's streams have."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from emulator.settings import AppFaults, EmulatorSettings, LognormalLatency

STICKER: Final = "workflows/fal-ai/sdxl-sticker"
POSTER: Final = "workflows/fal-ai/poster-lab"
MIN_RUNS: Final = 8

_SIZE: Final = {"width": 512, "height": 512}
_ANIMALS: Final = (
    "a fox",
    "an owl",
    "a whale",
    "a hedgehog",
    "an otter",
    "a lynx",
    "a heron",
    "a cat",
)
_DOING: Final = (
    "reading a map",
    "on a bicycle",
    "in a raincoat",
    "with headphones",
    "baking bread",
    "asleep in the sun",
)
_MEDIAN_LATENCY_S: Final = {
    "fal-ai/fast-sdxl": 0.22,
    "fal-ai/imageutils/rembg": 0.07,
    "fal-ai/face-to-sticker": 0.30,
    "fal-ai/any-llm": 0.18,
    "fal-ai/creative-upscaler": 0.35,
}


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the demo.

    Attributes:
        workflow: What to call.
        input: The request's body.
        expected: The status the record has to end with.
        fault: What the emulator is told to do to this run.
    """

    workflow: str
    input: Mapping[str, Any]
    expected: str = "completed"
    fault: Mapping[str, Any] | None = None

    @property
    def body(self) -> bytes:
        """The input as it is sent."""
        return json.dumps(self.input).encode()

    @property
    def headers(self) -> dict[str, str]:
        """What has to be sent with the request beside the recorder's own headers."""
        return {} if self.fault is None else {"x-emulator-fault": json.dumps(self.fault)}


def emulator_settings() -> EmulatorSettings:
    """An emulator whose steps take as long as on a good day, divided by about ten."""
    apps = {
        app: AppFaults(latency=LognormalLatency(median_s=median_s, sigma=0.45))
        for app, median_s in _MEDIAN_LATENCY_S.items()
    }
    return EmulatorSettings(apps=apps, seed=7)


def plan(number: int) -> list[PlannedRun]:
    """So many runs, always the same ones in the same order; about one in six goes wrong.

    Args:
        number: How many, at least `MIN_RUNS`.
    """
    failing = list(itertools.islice(itertools.cycle(_failing()), max(5, number // 6)))
    good = list(itertools.islice(_good(), number - len(failing)))
    runs, every = good, number // len(failing)
    for place, one in enumerate(failing, start=1):
        runs.insert(place * every - 1, one)
    return runs


def _good() -> Iterator[PlannedRun]:
    prompts = (
        f"{animal} {doing}"
        for doing, animal in itertools.cycle(itertools.product(_DOING, _ANIMALS))
    )
    for seed, prompt in enumerate(prompts, start=1):
        if seed % 3 == 0:
            yield PlannedRun(
                workflow=POSTER, input={"prompt": prompt, "scene": "harbour at dawn", "seed": seed}
            )
        else:
            yield PlannedRun(
                workflow=STICKER, input={"prompt": prompt, "seed": seed, "image_size": _SIZE}
            )


def _failing() -> list[PlannedRun]:
    prompt = {"prompt": "a fox that meets trouble", "image_size": _SIZE}
    return [
        PlannedRun(workflow=STICKER, input=prompt | {"num_images": 9}, expected="failed"),
        PlannedRun(workflow=STICKER, input={"image_size": _SIZE}, expected="failed"),
        PlannedRun(
            workflow=STICKER,
            input=prompt,
            expected="interrupted",
            fault={"stream": {"cut_after_events": 3, "cut_extra_bytes": 40}},
        ),
        PlannedRun(
            workflow=STICKER,
            input=prompt,
            expected="failed",
            fault={"apps": {"fal-ai/imageutils/rembg": {"error_rate": 1, "error_status": 503}}},
        ),
        PlannedRun(
            workflow=POSTER,
            input={"prompt": "a poster nobody may print"},
            expected="failed",
            fault={"stream": {"http_status": 429}},
        ),
    ]
