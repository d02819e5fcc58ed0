"""What clients ask for and what apps answer, in the shapes of fal's."""

from __future__ import annotations

import json
import random
import uuid
from collections import deque
from typing import Any, Final

from cli.demo.history.workloads import Node

_REPEATED: Final = 0.12
_FLAGGED: Final = 0.01
_SIZES: Final = ((1024, 1024), (1024, 1024), (768, 1024), (1216, 832), (512, 512))
_WHAT: Final = (
    "a fox",
    "an owl",
    "a whale",
    "an otter",
    "a lynx",
    "a heron",
    "a red kite",
    "a cat",
)
_DOING: Final = ("reading a map", "on a bicycle", "in a raincoat", "baking bread", "asleep")
_STYLE: Final = ("ink", "watercolour", "pixel art", "risograph", "clay")


class Inputs:
    """Inputs as clients send them: mostly new ones, now and then one of the last few again."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._last: dict[str, deque[dict[str, Any]]] = {}

    def next(self, workflow: str) -> dict[str, Any]:
        """The input of a workflow's next run."""
        last = self._last.setdefault(workflow, deque(maxlen=40))
        if last and self._random.random() < _REPEATED:
            return self._random.choice(last)
        last.append(self._new())
        return last[-1]

    def _new(self) -> dict[str, Any]:
        choice = self._random.choice
        width, height = choice(_SIZES)
        return {
            "prompt": f"{choice(_WHAT)} {choice(_DOING)}, {choice(_STYLE)}",
            "seed": self._random.getrandbits(choice((31, 31, 63))),
            "image_size": {"width": width, "height": height},
            "num_images": choice((1, 1, 1, 2, 4)),
        }


def answer(random_: random.Random, node: Node, asked: dict[str, Any], took_us: int) -> Any:
    """What a node's app answers."""
    timed = {"timings": {"inference": took_us / 1_000_000}}
    match node.gives:
        case "text":
            return {"output": f"{asked['prompt']}, seen from below"}
        case "audio":
            return {"audio_file": _file(random_, "mp3", "audio/mpeg"), **timed}
        case "video":
            return {"video": _file(random_, "mp4", "video/mp4"), **timed}
        case "image":
            return {"image": _image(random_, asked), **timed}
        case "images":
            number = asked["num_images"]
            return {
                "images": [_image(random_, asked) for _ in range(number)],
                **timed,
                "seed": asked["seed"],
                "has_nsfw_concepts": [random_.random() < _FLAGGED for _ in range(number)],
                "prompt": asked["prompt"],
            }


def _image(random_: random.Random, asked: dict[str, Any]) -> dict[str, Any]:
    return {**_file(random_, "png", "image/png"), **asked["image_size"]}


def _file(random_: random.Random, ending: str, content_type: str) -> dict[str, Any]:
    name = f"{random_.getrandbits(64):016x}.{ending}"
    return {
        "url": f"https://fal.media/files/demo/{name}",
        "content_type": content_type,
        "file_name": name,
        "file_size": random_.randrange(200_000, 4_000_000),
    }


_REFUSED_FIELDS: Final = (
    ("num_images", "ensure this value is less than or equal to 8", "value_error.number.not_le"),
    ("prompt", "the prompt was flagged by a content checker", "content_policy_violation"),
    ("image_size", "image too large", "image_too_large"),
)


def failure(random_: random.Random, status: int) -> dict[str, Any]:
    """The `error` of a step that failed with a status."""
    if status == 422:
        field, message, kind = random_.choice(_REFUSED_FIELDS)
        detail = [{"loc": ["body", field], "msg": message, "type": kind}]
        return {"status": status, "body": {"detail": detail}}
    if status == 504:
        return {"status": status, "body": {"detail": "Request timed out"}}
    detail = [{"loc": ["body"], "msg": "Internal server error", "type": "internal_server_error"}]
    return {
        "status": status,
        "body": {"detail": detail} if status == 500 else "upstream unavailable",
    }


def new_id(random_: random.Random) -> str:
    """An id as fal gives them."""
    return str(uuid.UUID(int=random_.getrandbits(128), version=4))


def text(value: Any) -> str:
    """JSON in the spelling of fal's streams."""
    return json.dumps(value)
