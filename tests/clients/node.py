"""Running scripts of fal's JavaScript client."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scenes import Scenes, at, workflow

JS = Path(__file__).parent / "js"
NODE = shutil.which("node")

Views = dict[str, Any]
"""What a client saw, by kind of call and name of the scene."""

_ONCE = {"maxRetries": 0}
_TRIED_AGAIN = {"status 429", "status 502", "status 503", "status 504", "nginx", "a kind of error"}
"""Plain calls that the client makes four times whatever it is told, which takes seconds."""

needs_node = pytest.mark.skipif(
    NODE is None or not (JS / "node_modules/@fal-ai/client").is_dir(),
    reason="needs Node and `npm ci` in tests/clients/js (make test does it where npm is found)",
)


def run_script(name: str, *args: str) -> Any:
    """What a script prints, which is JSON."""
    assert NODE is not None
    finished = subprocess.run(
        [NODE, name, *args], cwd=JS, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def play_scenes(
    scenes: Scenes, where: dict[str, Any], *, go: str | None = None, url: str | None = None
) -> Views:
    """What the client sees of all scenes.

    Args:
        scenes: What to play.
        where: Where the client calls, and how; see `scenes.mjs`.
        go: The upstream to tell, where it waits for that.
        url: The base of streams whose address is given; None leaves it to the client.
    """

    def scene(name: str, kind: str) -> dict[str, str]:
        told = {"name": f"{kind} {name}", "kind": kind, "workflow": workflow(name)}
        if kind == "stream" and go is not None and name in scenes.waiting:
            told["go"] = f"{go}/go/{at(name)}"
        if kind == "stream" and url is not None:
            told["url"] = f"{url}/{workflow(name)}/stream"
        return told

    plan = [scene(name, "stream") for name in [*scenes.streams, *scenes.resets]]
    plan += [scene(name, "run") for name in scenes.calls if name not in _TRIED_AGAIN]
    views: Views = run_script("scenes.mjs", json.dumps({**where, "retry": _ONCE, "scenes": plan}))
    return views
