"""Definitions as the PyPI package ``fal`` writes them; it lives in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.emulator.builders import execute

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("FAL_PACKAGE_PYTHON", ROOT / ".venv-fal" / "bin" / "python"))
SCRIPT = Path(__file__).with_name("write_definition_with_fal.py")


@pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f"no interpreter with the package fal (FAL_PACKAGE_PYTHON): {PYTHON}",
)
def test_a_definition_written_by_the_fal_package_runs(client: httpx.Client) -> None:
    done = subprocess.run(
        [PYTHON, SCRIPT], capture_output=True, check=False, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    played = execute(client, json.loads(done.stdout), {"prompt": "a cute puppy"})
    submitted = {event["node_id"] for event in played.events if event["type"] == "submit"}
    assert submitted == {
        "fal_ai_any_llm_1",
        "fal_ai_fast_sdxl_1",
        "fal_ai_fast_sdxl_2",
        "fal_ai_imageutils_rembg_1",
        "fal_ai_face_to_sticker_1",
        "fal_ai_some_video_model_1",
    }
    assert client.get(played.output["sticker"]).headers["content-type"] == "image/png"
    assert played.output["caption"] == "Placeholder answer of fal-ai/some-video-model"
