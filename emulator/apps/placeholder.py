"""The answer of an app the emulator does not know: whatever the rest of the workflow reads from it.

Every path that is referenced exists, with a value guessed from its name: an address for ``url``, a
file object for ``image`` or ``video``, a number for ``seed`` or ``width``, otherwise a text. On top
come the generic fields ``output`` (a text) and ``timings``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from emulator.apps.call import Call
from emulator.apps.drawing import draw
from emulator.references import is_index

Tree: TypeAlias = "dict[str, Tree]"

_PICTURE_SIZE = (256, 256)
_FILES = {"image", "video", "audio", "audio_file", "file", "model_glb", "model_mesh", "mask"}
_FILE_LISTS = {"images", "videos", "audios", "files"}
_NUMBERS = {"seed", "width", "height", "duration", "fps", "num_frames", "file_size", "inference"}


def placeholder(call: Call) -> dict[str, Any]:
    """An output in which every path of ``call.paths`` resolves."""
    tree = _tree(call.paths)
    text = _text(call)
    values = _Values(text, _FileOnDemand(call))
    output = {name: values.build(name, below) for name, below in tree.items()}
    return {"output": text, "timings": {}} | output


def _tree(paths: Iterable[tuple[str, ...]]) -> Tree:
    root: Tree = {}
    for path in paths:
        level = root
        for part in path:
            level = level.setdefault(part, {})
    return root


def _text(call: Call) -> str:
    prompt = call.input.get("prompt")
    if not isinstance(prompt, str):
        return f"Placeholder answer of {call.app}"
    short = prompt if len(prompt) <= 200 else prompt[:200] + "..."
    return f"Placeholder answer of {call.app} to: {short}"


class _FileOnDemand:
    """A picture for every place that wants a file; drawn only when one does, and only once."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._file: dict[str, Any] | None = None

    def get(self) -> dict[str, Any]:
        if self._file is None:
            picture = draw(_text(self._call), 0, _PICTURE_SIZE)
            self._file = self._call.media.publish(picture)
        return dict(self._file)


@dataclass(frozen=True)
class _Values:
    text: str
    file: _FileOnDemand

    def build(self, name: str, below: Tree) -> Any:
        if not below:
            return self._leaf(name)
        if all(is_index(part) for part in below):
            return self._list(below)
        values = {part: self.build(part, deeper) for part, deeper in below.items()}
        return self.file.get() | values if "url" in below else values

    def _list(self, below: Tree) -> list[Any]:
        built = {int(part): self.build(part, deeper) for part, deeper in below.items()}
        first = next(iter(built.values()))
        # repeating a nested value would multiply with every level of lists
        filler = None if _is_nested(first) else first
        return [built.get(index, filler) for index in range(max(built) + 1)]

    def _leaf(self, name: str) -> Any:
        lowered = name.lower()
        if lowered == "url" or lowered.endswith("_url"):
            return self.file.get()["url"]
        if lowered.endswith("_urls"):
            return [self.file.get()["url"]]
        if lowered in _FILES or lowered.endswith("_image"):
            return self.file.get()
        if lowered in _FILE_LISTS:
            return [self.file.get()]
        if lowered == "timings":
            return {}
        return 0 if lowered in _NUMBERS else self.text


def _is_nested(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and any(isinstance(c, dict | list) for c in children)
