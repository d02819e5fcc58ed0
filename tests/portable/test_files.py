"""Files of runs: nothing of them changes on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recorder import chain
from recorder.bootstrap import Recorder
from recorder.errors import BadQuery, RunNotFound
from recorder.events import Closed, NewEvent
from recorder.portable.copying import Copied
from recorder.portable.reading import RunFile
from recorder.store.definitions import DefinitionStore
from recorder.store.log import READ_BATCH
from tests.builders import (
    as_new,
    history,
    new_event,
    one_step_run,
    opened,
    plain_run,
    submit,
)
from tests.portable.archives import (
    MANIFEST,
    lines_of,
    manifest_of,
    unpacked,
)
from tests.portable.travel import exported, taken_in, two_runs


def test_a_file_holds_all_of_a_run_and_gives_it_back_unchanged(
    rec: Recorder, there: Recorder
) -> None:
    two_runs(rec)
    data = exported(rec, "b/2", "a")
    assert taken_in(there, data) == [Copied("a", 5, 5), Copied("b/2", 5, 5)]
    for request_id in ("a", "b/2"):
        here = as_new(rec.events(request_id))
        assert as_new(there.events(request_id)) == here
    assert there.verify().intact


def test_a_file_goes_into_both_kinds_of_database(rec: Recorder, there: Recorder) -> None:
    two_runs(there)
    assert taken_in(rec, exported(there, "a", "b/2")) == [
        Copied("a", 5, 5),
        Copied("b/2", 5, 5),
    ]
    assert as_new(rec.events("b/2")) == as_new(there.events("b/2"))


def test_a_file_tells_what_is_in_it(sqlite_rec: Recorder) -> None:
    two_runs(sqlite_rec)
    data = exported(sqlite_rec, "b/2", "a")
    head = sqlite_rec.log.head()
    members = unpacked(data)
    assert list(members) == ["runs/1.ndjson", "runs/2.ndjson", MANIFEST]
    manifest = manifest_of(data)
    assert manifest.pop("recorder")
    assert manifest == {
        "format": "fal-flight-recorder/runs",
        "version": 1,
        "log": {"epoch": head.epoch, "position": 10, "chain": head.chain.hex()},
        "runs": [
            {
                "request_id": request_id,
                "workflow": "workflows/fal-ai/sdxl-sticker",
                "member": f"runs/{number}.ndjson",
                "events": 5,
                "closed": is_closed,
                "definition": None,
            }
            for number, request_id, is_closed in ((1, "a", True), (2, "b/2", False))
        ],
        "members": [
            {
                "name": name,
                "size_bytes": len(members[name]),
                "sha256": hashlib.sha256(members[name]).hexdigest(),
            }
            for name in ("runs/1.ndjson", "runs/2.ndjson")
        ],
    }


def test_a_file_is_the_same_bytes_each_time_whatever_the_order_asked_for(
    sqlite_rec: Recorder,
) -> None:
    two_runs(sqlite_rec)
    data = exported(sqlite_rec, "a", "b/2")
    assert exported(sqlite_rec, "b/2", "a", "b/2") == data


def test_a_file_proves_every_link_by_itself(sqlite_rec: Recorder) -> None:
    two_runs(sqlite_rec)
    sqlite_rec.log.append(plain_run("alone", 3))
    data = exported(sqlite_rec, "a", "alone")
    epoch = manifest_of(data)["log"]["epoch"]
    for number in (1, 2):
        value = None
        for line in lines_of(data, number):
            previous = bytes.fromhex(line["previous"]) if "previous" in line else value
            assert previous is not None
            value = chain.link(
                epoch,
                previous,
                line["position"],
                NewEvent(
                    request_id=("a", "alone")[number - 1],
                    seq=line["seq"],
                    type=line["type"],
                    frame=b"",
                    received_at=line["received_at_us"],
                    elapsed_us=line["elapsed_us"],
                    node_id=line.get("node_id"),
                    app_id=line.get("app_id"),
                ),
                chain.frame_digest(bytes.fromhex(line["salt"]), line["frame"].encode()),
            )
            assert value.hex() == line["chain"]


def test_a_file_tells_the_chain_before_an_event_only_where_that_is_another_runs(
    sqlite_rec: Recorder,
) -> None:
    sqlite_rec.log.append([*plain_run("a", 2), *plain_run("b", 1)])
    sqlite_rec.log.append(plain_run("a", 1, first=2))
    data = exported(sqlite_rec, "a")
    rows = sqlite_rec.log.read()
    assert [line.get("previous") for line in lines_of(data)] == [
        chain.GENESIS.hex(),
        None,
        rows[2].chain.hex(),
    ]


def test_a_file_leaves_out_what_is_appended_while_it_is_written(
    sqlite_rec: Recorder, there: Recorder
) -> None:
    sqlite_rec.log.append(plain_run("a", READ_BATCH + 1))
    pieces = sqlite_rec.export(["a"])
    first = next(pieces)
    sqlite_rec.log.append(plain_run("a", 5, first=READ_BATCH + 1))
    data = first + b"".join(pieces)
    assert taken_in(there, data) == [Copied("a", READ_BATCH + 1, READ_BATCH + 1)]


def test_a_file_of_a_long_run_comes_in_pieces(sqlite_rec: Recorder, there: Recorder) -> None:
    big = [submit("x" * 200) * 100 for _ in range(300)]
    sqlite_rec.log.append(history("a", *big))
    pieces = list(sqlite_rec.export(["a"]))
    assert len(pieces) > 3
    assert taken_in(there, b"".join(pieces)) == [Copied("a", 302, 302)]


def test_a_file_cannot_be_made_of_a_run_that_is_not_there_or_of_none(sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("a"))
    with pytest.raises(RunNotFound):
        sqlite_rec.export(["a", "none"])
    with pytest.raises(BadQuery):
        sqlite_rec.export([])


def test_a_file_can_be_read_without_a_log(sqlite_rec: Recorder, tmp_path: Path) -> None:
    sqlite_rec.log.append(one_step_run("a"))
    path = tmp_path / "a.run.zip"
    path.write_bytes(exported(sqlite_rec, "a"))
    with RunFile(path) as file:
        [run] = file.manifest.runs
        assert list(file.events(run)) == list(sqlite_rec.events("a"))


def test_a_file_brings_the_definitions_of_its_runs_along(rec: Recorder, there: Recorder) -> None:
    at_first, at_last = b'{"nodes":{}}', b'{"nodes":{"a":{}}}'
    for definition in (at_first, at_last):
        kept(rec, definition)
    names = {
        definition: hashlib.sha256(definition).hexdigest() for definition in (at_first, at_last)
    }
    for request_id in ("a", "b"):
        rec.log.append(history(request_id, document=opened(request_id, definition=names[at_first])))
    closed = Closed(reason="eof", definition=names[at_last])
    rec.log.append([new_event("c", 0, opened("c")), new_event("c", 1, closed)])
    rec.log.append(history("lost", document=opened("lost", definition="0" * 64)))
    rec.log.append(history("odd", document=opened("odd", definition="../x")))
    data = exported(rec, "a", "b", "c", "lost", "odd")
    told = [run["definition"] for run in manifest_of(data)["runs"]]
    assert told == [names[at_first], names[at_first], names[at_last], "0" * 64, None]
    assert {
        name: content for name, content in unpacked(data).items() if "definitions/" in name
    } == {f"definitions/{name}.json": definition for definition, name in names.items()}
    taken_in(there, data)
    assert [there.definition(name) for name in names.values()] == [at_first, at_last]


def kept(rec: Recorder, definition: bytes) -> None:
    DefinitionStore(rec.database).keep(hashlib.sha256(definition).hexdigest(), definition)
