"""Running scripts of fal's JavaScript client."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

JS = Path(__file__).parent / "js"
NODE = shutil.which("node")

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
