"""Files that are damaged, forged or meant to do harm: refused in one line, and nothing of them gets in."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from recorder import chain
from recorder.bootstrap import Recorder
from recorder.errors import BadRunFile
from recorder.events import Exchange, LoggedEvent, Opened
from recorder.portable.copying import Copied
from recorder.portable.form import decode_entry
from recorder.portable.reading import RunFile
from tests.builders import as_new, exchange, history, one_step_run, opened
from tests.portable.archives import (
    MANIFEST,
    manifest_of,
    packed,
    sealed,
    unpacked,
    with_lines,
    with_manifest,
)
from tests.portable.travel import exported, refusal, taken_in


def rechain(lines: Any, epoch: str) -> None:
    """Puts the digests and links of a single run's events right again, as a forger can."""
    value = chain.GENESIS
    for line in lines:
        row = decode_entry("a", json.dumps(line).encode()).logged
        assert row.frame is not None
        assert row.salt is not None
        line["frame_digest"] = chain.frame_digest(row.salt, row.frame).hex()
        event = as_new([row])[0]
        digest = bytes.fromhex(line["frame_digest"])
        value = chain.link(epoch, value, row.position, event, digest)
        line["chain"] = value.hex()


@pytest.fixture
def data(sqlite_rec: Recorder) -> bytes:
    """A file of one run, `a`, from a log that has no other."""
    sqlite_rec.log.append(one_step_run("a"))
    return exported(sqlite_rec, "a")


def test_a_file_cut_anywhere_is_refused(data: bytes, there: Recorder) -> None:
    for length in range(0, len(data), 7):
        refusal(there, data[:length])


def test_a_file_with_any_byte_changed_is_refused_or_the_same_run(data: bytes) -> None:
    whole = read(data)
    changes = [
        bytes([*data[:at], data[at] ^ 0x55, *data[at + 1 :]]) for at in range(0, len(data), 5)
    ]
    assert {outcome for outcome in map(read, changes) if outcome is not None} == {whole}


@pytest.mark.parametrize(
    ("document", "seq"),
    [
        (opened("a", request_headers={"Authorization": "Key id:secret"}), 0),
        (opened("a", response_headers={"set-cookie": "a=b"}), 0),
        (opened("a", url="https://fal.run/workflows/o/n?fal_jwt_token=secret"), 0),
        (exchange("status", headers={"x-fal-token": "secret"}), 1),
        (exchange("submit", url="https://me:secret@queue.fal.run/workflows/o/n"), 1),
    ],
    ids=repr,
)
def test_a_file_that_shows_a_credential_is_refused(
    sqlite_rec: Recorder, there: Recorder, document: Opened | Exchange, seq: int
) -> None:
    """Its proof holds; that does not help it."""
    if isinstance(document, Opened):
        sqlite_rec.log.append(history("a", document=document))
    else:
        sqlite_rec.log.append(history("a", document, document=opened("a", mode="queue")))
    said = refusal(there, exported(sqlite_rec, "a"))
    assert said == f"a, seq {seq}: it shows a credential, which no log may keep"


def read(data: bytes) -> tuple[LoggedEvent, ...] | None:
    """The events of a file's one run; None where it is refused."""
    try:
        with RunFile(io.BytesIO(data)) as file:
            [run] = file.manifest.runs
            return tuple(file.events(run))
    except BadRunFile:
        return None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty", b"", "is no zip, or not whole"),
        ("text", b"data: {}\n\n", "is no zip, or not whole"),
        ("a zip", packed({"a.txt": b"x"}), "holds 'a.txt', which does not belong there"),
        ("an empty zip", packed({}), "is no portable run file: it has no manifest"),
        (
            "a manifest that is none",
            packed({MANIFEST: b"{}"}),
            "is no portable run file: its manifest cannot be read",
        ),
        (
            "a manifest of another format",
            packed({MANIFEST: b'{"format": "har", "version": 1}'}),
            "is no portable run file: its manifest is of another format",
        ),
        (
            "a way out",
            packed({"../../etc/passwd": b"x", MANIFEST: b"{}"}),
            "holds '../../etc/passwd', which does not belong there",
        ),
        (
            "packed otherwise",
            packed({MANIFEST: b"{}"}, zipfile.ZIP_LZMA),
            "has packed manifest.json in a way that is not read here",
        ),
        (
            "a bomb",
            packed({"runs/1.ndjson": bytes(80_000_000)}),
            "unpacks to much more than it can hold: runs/1.ndjson",
        ),
        (
            "a long manifest",
            packed({MANIFEST: bytes(17_000_000)}),
            "has a member that is too long: manifest.json",
        ),
        (
            "a long directory",
            packed({f"runs/{number}.ndjson": b"" for number in range(1, 70_000)}),
            "holds too many members",
        ),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(
    there: Recorder, name: str, content: bytes, said: str
) -> None:
    assert refusal(there, content) == said, name


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        (
            "a later version",
            lambda manifest: manifest.update(version=2),
            "is of version 2 of the format; this recorder reads 1",
        ),
        (
            "a field nobody knows",
            lambda manifest: manifest.update(more=1),
            "has a manifest that makes no sense: Object contains unknown field `more`",
        ),
        (
            "another size",
            lambda manifest: manifest["members"][0].update(size_bytes=1),
            "is damaged: its members are not those of the manifest",
        ),
        (
            "another digest",
            lambda manifest: manifest["members"][0].update(sha256="0" * 64),
            "is damaged: runs/1.ndjson is not what the manifest says",
        ),
        (
            "another count",
            lambda manifest: manifest["runs"][0].update(events=4),
            "runs/1.ndjson holds another run than the manifest says",
        ),
        (
            "not closed",
            lambda manifest: manifest["runs"][0].update(closed=False),
            "runs/1.ndjson holds another run than the manifest says",
        ),
        (
            "no runs",
            lambda manifest: manifest["runs"].clear(),
            "has a manifest whose runs and members do not fit together",
        ),
        (
            "a run twice",
            lambda manifest: manifest["runs"].append(manifest["runs"][0]),
            "has a manifest that names too many runs, or one twice",
        ),
        (
            "another run with the same events",
            lambda manifest: manifest["runs"].append(manifest["runs"][0] | {"request_id": "b"}),
            "has a manifest whose runs and members do not fit together",
        ),
        (
            "a member that is not there",
            lambda manifest: manifest["runs"][0].update(member="runs/2.ndjson"),
            "has a manifest whose runs and members do not fit together",
        ),
        (
            "another id",
            lambda manifest: manifest["runs"][0].update(request_id="b"),
            "runs/1.ndjson, line 1: the row is not the one recorded",
        ),
        (
            "another log",
            lambda manifest: manifest["log"].update(epoch="x"),
            "runs/1.ndjson, line 1: the row is not the one recorded",
        ),
        (
            "a log that is too short",
            lambda manifest: manifest["log"].update(position=4),
            "runs/1.ndjson, line 5: stands beyond the end of its log",
        ),
    ],
)
def test_a_file_by_its_manifest_is_refused(
    data: bytes, there: Recorder, name: str, edit: Any, said: str
) -> None:
    assert refusal(there, with_manifest(data, edit)) == said, name


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        (
            "a forged frame",
            lambda lines: lines[1].update(frame="data: {}\n\n"),
            "line 2: the frame is not the one recorded",
        ),
        (
            "a forged time",
            lambda lines: lines[1].update(elapsed_us=1),
            "line 2: the row is not the one recorded",
        ),
        (
            "a forged node",
            lambda lines: lines[1].update(node_id="b"),
            "line 2: the row is not the one recorded",
        ),
        (
            "a forged beginning",
            lambda lines: lines[0].update(previous="1" * 64),
            "line 1: does not follow the event before it",
        ),
        (
            "no salt",
            lambda lines: lines[1].pop("salt"),
            "line 2: the frame is not the one recorded",
        ),
        (
            "an event left out",
            lambda lines: lines.pop(1),
            "line 2: is not the next event of the run",
        ),
        (
            "the beginning left out",
            lambda lines: lines.pop(0),
            "line 1: is not the next event of the run",
        ),
        (
            "events the other way round",
            lambda lines: lines[2].update(position=1),
            "line 3: stands before the event before it",
        ),
        (
            "a hole in the log",
            lambda lines: [line.update(position=line["position"] + 2) for line in lines[2:3]],
            "line 3: does not tell the chain before it",
        ),
        (
            "two frames",
            lambda lines: lines[1].update(frame_base64=""),
            "line 2: has its frame twice",
        ),
        (
            "a frame that is not base64",
            lambda lines: (lines[1].pop("frame"), lines[1].update(frame_base64="!")),
            "line 2: has a frame that is not base64",
        ),
        (
            "a type nobody knows",
            lambda lines: lines[1].update(type="x"),
            "line 2: Invalid enum value 'x' - at `$.type`",
        ),
        (
            "a field nobody knows",
            lambda lines: lines[1].update(more=1),
            "line 2: Object contains unknown field `more`",
        ),
        (
            "a position beyond every database",
            lambda lines: lines[1].update(position=2**63),
            "line 2: Expected `int` <= 9223372036854775807 - at `$.position`",
        ),
    ],
)
def test_a_file_by_its_events_is_refused(
    data: bytes, there: Recorder, name: str, edit: Any, said: str
) -> None:
    assert refusal(there, with_lines(data, edit)) == f"runs/1.ndjson, {said}", name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "runs/1.ndjson ends in the middle of a line"),
        (b"\n", "runs/1.ndjson, line 1: Input data was truncated"),
        (b"\xff\n", "runs/1.ndjson, line 1: JSON is malformed: invalid character (byte 0)"),
        (
            b"[" * 100_000 + b"\n",
            "runs/1.ndjson, line 1: Expected `object`, got `array`",
        ),
        (b"", "runs/1.ndjson holds another run than the manifest says"),
    ],
    ids=repr,
)
def test_a_file_by_lines_that_are_none_is_refused(
    data: bytes, there: Recorder, content: bytes, said: str
) -> None:
    assert refusal(there, sealed(data, content)) == said


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        (
            "a document nobody can read",
            lambda lines: lines[0].update(frame="{}"),
            "runs/1.ndjson is no run: Object missing required field `workflow`",
        ),
        (
            "an input that is not base64",
            lambda lines: lines[0].update(
                frame='{"workflow": "", "source": "http", "input_base64": "x"}'
            ),
            "runs/1.ndjson is no run: Invalid base64-encoded string: number of data characters "
            "(1) cannot be 1 more than a multiple of 4",
        ),
        (
            "an id that PostgreSQL cannot hold",
            lambda lines: lines[1].update(node_id="a\0"),
            "runs/1.ndjson: seq 1 has an id that no log can hold",
        ),
        (
            "an id too long for an index",
            lambda lines: lines[1].update(step_request_id="x" * 513),
            "runs/1.ndjson: seq 1 has an id that no log can hold",
        ),
    ],
)
def test_a_file_that_holds_together_is_still_refused_if_nobody_could_read_it(
    data: bytes, there: Recorder, name: str, edit: Any, said: str
) -> None:
    epoch = manifest_of(data)["log"]["epoch"]

    def forge(lines: Any) -> None:
        edit(lines)
        rechain(lines, epoch)

    assert refusal(there, with_lines(data, forge)) == said, name


@pytest.mark.parametrize("request_id", ["", "x" * 513, "a\0"])
def test_a_file_of_a_run_whose_id_no_log_can_hold_is_refused(
    data: bytes, there: Recorder, request_id: str
) -> None:
    forged = with_manifest(data, lambda manifest: manifest["runs"][0].update(request_id=request_id))
    assert refusal(there, forged) == "runs/1.ndjson: its run has an id that no log can hold"


def test_a_file_is_refused_by_the_name_of_its_file(there: Recorder, tmp_path: Path) -> None:
    missing = tmp_path / "none.run.zip"
    with pytest.raises(BadRunFile) as raised:
        there.import_runs(missing)
    assert str(raised.value) == f"{missing}: no such file or directory"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}', None),
        (b'{"a": 2}', "is not what its name says"),
        (b"<script>", "is no definition of a workflow"),
        (b'{"a": "\xff"}', "is no definition of a workflow"),
        (b"[]", "is no definition of a workflow"),
        (b'{"a":' * 100_000, "is no definition of a workflow"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_with_a_definition_that_is_none_is_refused(
    data: bytes, there: Recorder, content: bytes, said: str | None
) -> None:
    named = b'{"a": 1}' if content == b'{"a": 2}' else content
    digest = hashlib.sha256(named).hexdigest()
    member = f"definitions/{digest}.json"

    def name_it(manifest: Any) -> None:
        manifest["runs"][0]["definition"] = digest
        manifest["members"].append(
            {
                "name": member,
                "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )

    forged = with_manifest(packed(unpacked(data) | {member: content}), name_it)
    if said is None:
        assert taken_in(there, forged) == [Copied("a", 5, 5)]
        assert there.definition(digest) == content
    else:
        assert refusal(there, forged) == f"{member} {said}"


def test_a_file_with_a_definition_no_run_names_is_refused(data: bytes, there: Recorder) -> None:
    member = f"definitions/{hashlib.sha256(b'{}').hexdigest()}.json"
    forged = packed(unpacked(data) | {member: b"{}"})
    assert refusal(there, forged) == "is damaged: its members are not those of the manifest"
