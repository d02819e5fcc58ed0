"""Reading transcripts and importing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder.bootstrap import Recorder
from recorder.errors import BadTranscript
from recorder.importing import Imported
from recorder.sources.transcript import Piece, read
from tests.builders import completion, output, submit
from tests.core.test_recording import recorded_body


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_an_sse_file_is_its_bytes(tmp_path: Path) -> None:
    body = b"\xef\xbb\xbf: ping\r\n\r\ndata: \xff\r\n\r\ndata: rest"
    assert list(read(written(tmp_path, "a.sse", body))) == [Piece(body)]


def test_a_long_sse_file_comes_in_pieces(tmp_path: Path) -> None:
    body = bytes(range(256)) * 10_000
    pieces = list(read(written(tmp_path, "a.sse", body)))
    assert b"".join(piece.chunk for piece in pieces) == body
    assert [len(piece.chunk) for piece in pieces] == [1 << 20, 1 << 20, 2_560_000 - (2 << 20)]


LINES = [
    # Plain
    (b'{"type": "submit"}', b'{"type": "submit"}', None),
    (b' {"type":"submit"} \r', b'{"type":"submit"}', None),
    (b'\xef\xbb\xbf{"type":"submit"}', b'{"type":"submit"}', None),
    (b'{"type":"x","at":1,"data":{}}', b'{"type":"x","at":1,"data":{}}', None),
    # Wrapped
    (b'{"at": 1.5, "data": {"type":"submit"}}', b'{"type": "submit"}', 1_500_000),
    (b'{"at": 0, "data": "{\\"type\\":1}"}', b'{"type":1}', 0),
    (b'{"data": {"type":"submit"}}', b'{"type": "submit"}', None),
    (b'{"at": 1, "data": null}', b"null", 1_000_000),
    (b'{"at": 0.0000014, "data": 1}', b"1", 1),
    # Times that are none
    (b'{"at": -1, "data": 1}', b"1", None),
    (b'{"at": "1", "data": 1}', b"1", None),
    (b'{"at": true, "data": 1}', b"1", None),
    (b'{"at": null, "data": 1}', b"1", None),
    (b'{"at": NaN, "data": 1}', b"1", None),
    (b'{"at": 1e400, "data": 1}', b"1", None),
    (b'{"at": 1700000000, "data": 1}', b"1", None),
    (b'{"at": ' + b"9" * 400 + b', "data": 1}', b"1", None),
    # Neither
    (b'{"at": 1}', b'{"at": 1}', None),
    (b"garbage", b"garbage", None),
    (b"[1]", b"[1]", None),
    (b'{"type":', b'{"type":', None),
    (b"[" * 100_000, b"[" * 100_000, None),
    (b'{"at":1,"data":' + b"9" * 5_000 + b"}", b'{"at":1,"data":' + b"9" * 5_000 + b"}", None),
    (b"caf\xe9", "caf\ufffd".encode(), None),
]


@pytest.mark.parametrize(("line", "data", "elapsed_us"), LINES, ids=lambda value: repr(value)[:50])
def test_a_line_is_an_event_or_a_wrapped_one(
    tmp_path: Path, line: bytes, data: bytes, elapsed_us: int | None
) -> None:
    path = written(tmp_path, "a.jsonl", line + b"\n")
    assert list(read(path)) == [Piece(b"data: " + data + b"\n\n", elapsed_us)]


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_no_depth_of_nesting_is_an_error(tmp_path: Path, open_: str, close: str) -> None:
    lines = [f'{{"at":1,"data":{open_ * depth}1{close * depth}}}' for depth in range(800, 1_010)]
    path = written(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert len(list(read(path))) == len(lines)


def test_blank_lines_are_passed_over_and_the_last_line_needs_no_end(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", b"\r\n1\r\n \n\n2")
    assert [piece.chunk for piece in read(path)] == [b"data: 1\n\n", b"data: 2\n\n"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "a transcript ends in .sse or .jsonl"),
        ("sse", "a transcript ends in .sse or .jsonl"),
        ("a.json", "a transcript ends in .sse or .jsonl"),
        ("missing.sse", "no such file or directory"),
        ("folder.jsonl", "is a directory"),
        ("empty.sse", "is empty"),
        ("blank.jsonl", "is empty"),
    ],
)
def test_what_is_no_transcript_is_refused_in_one_line(
    tmp_path: Path, sqlite_rec: Recorder, name: str, message: str
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    written(tmp_path, "a.txt", output())
    written(tmp_path, "empty.sse", b"")
    written(tmp_path, "blank.jsonl", b"\n \r\n")
    path = tmp_path / name
    with pytest.raises(BadTranscript) as raised:
        sqlite_rec.import_transcript(path)
    assert str(raised.value) == f"{path}: {message}"
    assert (raised.value.path, raised.value.line) == (str(path), None)
    assert sqlite_rec.log.head().position == 0


def test_an_imported_body_is_the_files_bytes_and_its_durations_are_unknown(
    tmp_path: Path, sqlite_rec: Recorder
) -> None:
    body = submit("a") + completion("a") + output() + b": the rest"
    imported = sqlite_rec.import_transcript(written(tmp_path, "a.sse", body), workflow="w")
    run = sqlite_rec.run(imported.request_id)
    assert recorded_body(sqlite_rec, imported.request_id) == body
    assert (run.status, run.source, run.workflow, run.duration_us) == (
        "completed",
        "transcript",
        "w",
        None,
    )
    assert (run.timed, run.steps["a", 1].duration_us, run.anomalies) == (
        False,
        None,
        {"trailing_bytes": 1},
    )


def test_times_of_wrapped_lines_become_durations_and_never_go_back(
    tmp_path: Path, sqlite_rec: Recorder
) -> None:
    path = written(
        tmp_path,
        "a.jsonl",
        b'{"at": 0.5, "data": {"type": "submit", "node_id": "a"}}\r\n'
        b'{"at": 2, "data": {"type": "completion", "node_id": "a"}}\r\n'
        b'{"at": 1, "data": {"type": "submit", "node_id": "b"}}\r\n'
        b'{"type": "completion", "node_id": "b"}\r\n'
        b"garbage\r\n"
        b'{"at": 2.25, "data": {"type": "output"}}\r\n',
    )
    run = sqlite_rec.run(sqlite_rec.import_transcript(path).request_id)
    assert (run.duration_us, run.first_event_us) == (2_250_000, 500_000)
    assert [(step.submitted_us, step.finished_us) for step in run.ordered_steps()] == [
        (500_000, 2_000_000),
        (2_000_000, 2_000_000),
    ]
    assert run.anomalies == {"invalid_json": 1}


def test_importing_a_file_again_changes_nothing(tmp_path: Path, sqlite_rec: Recorder) -> None:
    path = written(tmp_path, "a.sse", output())
    copy = written(tmp_path, "copy.sse", output())
    first = sqlite_rec.import_transcript(path)
    position = sqlite_rec.log.head().position
    assert first == Imported(str(path), first.request_id, already_there=False)
    assert sqlite_rec.import_transcript(path) == Imported(str(path), first.request_id, True)
    assert sqlite_rec.import_transcript(copy) == Imported(str(copy), first.request_id, True)
    assert sqlite_rec.log.head().position == position == 3


def test_another_file_is_another_run(tmp_path: Path, sqlite_rec: Recorder) -> None:
    names = {
        sqlite_rec.import_transcript(written(tmp_path, f"{number}.sse", body)).request_id
        for number, body in enumerate([output(), output(1), output() + b"\n"])
    }
    assert len(names) == 3


@pytest.mark.parametrize("request_id", ["mine", "r" * 600, "a\0b"])
def test_a_run_named_by_the_caller_is_imported_once(
    tmp_path: Path, sqlite_rec: Recorder, request_id: str
) -> None:
    path = written(tmp_path, "a.sse", output())
    first = sqlite_rec.import_transcript(path, request_id=request_id)
    again = sqlite_rec.import_transcript(path, request_id=request_id)
    assert (first.already_there, again.already_there) == (False, True)
    assert first.request_id == again.request_id == sqlite_rec.run(request_id).request_id
    assert sqlite_rec.run(request_id).anomalies == {}


def test_a_workflow_that_is_not_utf_8_on_the_command_line_is_imported(
    tmp_path: Path, sqlite_rec: Recorder
) -> None:
    path = written(tmp_path, "a.sse", output())
    imported = sqlite_rec.import_transcript(path, workflow="w\udcff")
    assert sqlite_rec.run(imported.request_id).workflow == "w?"
