from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator import library
from emulator.app import create_app
from emulator.library import WorkflowFileError
from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from tests.emulator.builders import EXECUTE, display_node, editor, fault_header, run_node, slow

SHIPPED = ["fal-ai/poster-lab", "fal-ai/sdxl-sticker"]


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_files_path_or_its_fields_give_the_workflow_id(tmp_path: Path) -> None:
    flat = {"a": run_node("x")}
    write(tmp_path, "me/first.json", editor(flat))
    write(tmp_path, "deep/you/second.json", flat)
    write(tmp_path, "third.json", flat)
    write(tmp_path, "x.json", editor(flat) | {"owner": "them", "name": "fourth"})
    assert sorted(library.load(tmp_path, {"us/fifth": flat})) == sorted(
        [*SHIPPED, "me/first", "you/second", "local/third", "them/fourth", "us/fifth"]
    )


def test_a_file_replaces_a_shipped_workflow_of_the_same_id(tmp_path: Path) -> None:
    write(tmp_path, "fal-ai/sdxl-sticker.json", {"only": run_node("x")})
    assert list(library.load(tmp_path, {})["fal-ai/sdxl-sticker"].definition.nodes) == ["only"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "1: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "a workflow definition must be an object"),
        ('{"a": {}}', "a.type: field required"),
    ],
)
def test_a_broken_file_gives_one_line_that_names_it(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(WorkflowFileError) as caught:
        create_app(EmulatorSettings(workflows_dir=tmp_path))
    assert str(caught.value) == f"{path}: {reason}"


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a/one.json", {"n": run_node("x")})
    second = write(tmp_path, "z.json", editor({}) | {"owner": "a", "name": "one"})
    with pytest.raises(WorkflowFileError) as caught:
        library.load(tmp_path, {})
    assert str(caught.value) == f"{second}: 'a/one' is already in {first}"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkflowFileError) as caught:
        library.load(tmp_path / "none", {})
    assert str(caught.value) == f"{tmp_path / 'none'}: not a folder of workflow definitions"


def test_workflows_of_the_settings_can_be_called() -> None:
    nodes = {"a": run_node("x"), "d": display_node({"t": "$a.output"})}
    settings = EmulatorSettings(workflows={"me/mine": nodes})
    with EmulatorServer(settings) as server:
        answer = httpx.post(f"{server.url}/workflows/me/mine", json={})
    assert answer.json() == {"t": "Placeholder answer of x"}


def test_stopping_breaks_open_streams_and_ends_the_thread() -> None:
    before = threading.active_count()
    with EmulatorServer() as server, httpx.Client(base_url=server.url) as client:
        body = {"workflow": {"a": run_node("x")}}
        request = client.build_request(
            "POST", f"{EXECUTE}/stream", json=body, headers=fault_header(apps=slow(600))
        )
        response = client.send(request, stream=True)
        chunks = response.iter_raw()
        assert next(chunks).startswith(b'data: {"type": "submit"')
        server.__exit__(None, None, None)
        with pytest.raises(httpx.TransportError):
            next(chunks)
    assert threading.active_count() == before


def test_a_given_port_is_used_and_free_again_afterwards() -> None:
    with EmulatorServer() as first:
        port = int(first.url.rsplit(":", 1)[1])
    with EmulatorServer(port=port) as second:
        assert second.url == f"http://127.0.0.1:{port}"
        assert httpx.get(second.url).status_code == 200
        with pytest.raises(OSError, match="in use"), EmulatorServer(port=port):
            pass
