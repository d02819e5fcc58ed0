"""The workflows of the synthetic history: their nodes, their share of the load, their definitions."""

from __future__ import annotations

import json
from typing import Final, Literal

import msgspec

from recorder.inputs import canonical

Gives = Literal["text", "image", "images", "audio", "video"]

STICKER: Final = "workflows/acme/sticker"
POSTER: Final = "workflows/acme/poster"
VOICE_OVER: Final = "workflows/acme/voice-over"
PRODUCT_VIDEO: Final = "workflows/acme/product-video"


class Node(msgspec.Struct, frozen=True):
    """A node and how long its app works: log-normal, by its median and the sigma of its logarithm."""

    id: str
    app: str
    after: tuple[str, ...]
    median_s: float
    sigma: float
    gives: Gives


class Workload(msgspec.Struct, frozen=True):
    """A workflow and how it is used.

    Attributes:
        workflow: Its id.
        share: Of all runs.
        nodes: Each after all it waits for.
        queued: Whether it is called through fal's queue, where steps do not show.
    """

    workflow: str
    share: float
    nodes: tuple[Node, ...]
    queued: bool = False

    @property
    def definition(self) -> bytes:
        """What fal's editor would have saved, in canonical form."""
        last = self.nodes[-1]
        nodes = {node.id: self._node(node) for node in self.nodes}
        name = self.workflow.rpartition("/")[2]
        contents = {"name": name, "version": "1", "nodes": nodes, "output": {"result": _ref(last)}}
        return canonical(json.dumps({"name": name, "contents": contents}).encode())

    def _node(self, node: Node) -> dict[str, object]:
        by_id = {each.id: each for each in self.nodes}
        read = {f"from_{one}": _ref(by_id[one]) for one in node.after} or {
            "prompt": "$input.prompt"
        }
        return {
            "id": node.id,
            "type": "run",
            "app": node.app,
            "depends": list(node.after),
            "input": read,
        }


_ATTRIBUTES: Final[dict[Gives, str]] = {
    "text": "output",
    "image": "image.url",
    "images": "images.0.url",
    "audio": "audio_file.url",
    "video": "video.url",
}


def _ref(node: Node) -> str:
    return f"${node.id}.{_ATTRIBUTES[node.gives]}"


_POSTER_BEFORE: Final = (
    Node("idea", "fal-ai/any-llm", (), 0.9, 0.45, "text"),
    Node("title", "fal-ai/any-llm", ("idea",), 0.6, 0.45, "text"),
    Node("draw", "fal-ai/flux/dev", ("idea",), 4.6, 0.22, "images"),
    Node("upscale", "fal-ai/creative-upscaler", ("draw",), 8.5, 0.35, "image"),
    Node("compose", "fal-ai/imageutils/compose", ("upscale", "title"), 0.4, 0.3, "image"),
)
_POSTER_AFTER: Final = tuple(
    Node("upscale", "fal-ai/esrgan", ("draw",), 2.9, 0.3, "image") if node.id == "upscale" else node
    for node in _POSTER_BEFORE
)

WORKLOADS: Final = (
    Workload(
        STICKER,
        0.52,
        (
            Node("draw", "fal-ai/fast-sdxl", (), 2.1, 0.25, "images"),
            Node("cutout", "fal-ai/imageutils/rembg", ("draw",), 0.55, 0.3, "image"),
            Node("sticker", "fal-ai/face-to-sticker", ("cutout",), 3.4, 0.3, "images"),
        ),
    ),
    Workload(POSTER, 0.26, _POSTER_BEFORE),
    Workload(
        VOICE_OVER,
        0.17,
        (
            Node("script", "fal-ai/any-llm", (), 1.4, 0.5, "text"),
            Node("speak", "fal-ai/playht/tts/v3", ("script",), 5.5, 0.4, "audio"),
        ),
    ),
    Workload(
        PRODUCT_VIDEO,
        0.05,
        (
            Node("still", "fal-ai/flux/dev", (), 4.6, 0.22, "images"),
            Node("animate", "fal-ai/kling-video/v1/pro", ("still",), 62.0, 0.3, "video"),
        ),
        queued=True,
    ),
)

NEW_POSTER: Final = msgspec.structs.replace(WORKLOADS[1], nodes=_POSTER_AFTER)
"""The poster workflow as it is after its definition changed."""
