"""Where segments may be: a local folder of any name, any fsspec URL, or nowhere."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from analytics.archive import Archive, open_archive
from analytics.segments.exporter import Exporter
from analytics.segments.folder import LocalFolder, RemoteFolder, folder_at
from recorder.bootstrap import Recorder
from recorder.errors import LogError
from recorder.settings import Settings
from tests.analytics.segments.conftest import Segmented, told
from tests.builders import history, one_step_run, submit


def recorded(rec: Recorder) -> None:
    for events in (one_step_run("a"), one_step_run("b"), history("c", submit("x"), reason=None)):
        rec.log.append(events)
    rec.projector.catch_up()


def test_a_file_system_in_memory(rec: Recorder) -> None:
    url = f"memory://segments-{uuid4().hex}"
    recorded(rec)
    folder = folder_at(url)
    assert isinstance(folder, RemoteFolder)
    with Archive(rec.database, folder, with_events=True) as archive:
        for exporter in archive.exporters():
            assert exporter.catch_up() == "nothing"
        assert told(archive) == told(rec.database)
    elsewhere = fsspec.filesystem("memory")
    with Archive(rec.database, folder_at(url)) as archive:
        assert told(archive) == told(rec.database)  # fetched anew
    names = elsewhere.find(url.removeprefix("memory:/"))
    assert len(names) == 3
    elsewhere.rm(url.removeprefix("memory:/"), recursive=True)
    with Archive(rec.database, folder_at(url)) as archive:
        assert told(archive) == told(rec.database)
        for exporter in archive.exporters():
            exporter.catch_up()
        assert told(archive) == told(rec.database)
    assert len(elsewhere.find(url.removeprefix("memory:/"))) == 3


def test_a_folder_whose_name_has_signs_of_its_own(sqlite_rec: Recorder, tmp_path: Path) -> None:
    segmented = Segmented(sqlite_rec, tmp_path / "it's [all] *here* ?" / "ü")
    recorded(sqlite_rec)
    segmented.export(events=True)
    with segmented.archive:
        assert segmented.told() == segmented.told_by_sql()
        assert segmented.in_files("runs") == ["a", "b"]


def test_a_folder_may_be_shared_by_several_logs(sqlite_url: str, tmp_path: Path) -> None:
    import recorder

    root = tmp_path / "shared"
    with (
        recorder.open(sqlite_url) as one,
        recorder.open(f"sqlite:///{tmp_path / 'other.db'}") as other,
    ):
        for rec in (one, other):
            recorded(rec)
            Exporter(rec.database, LocalFolder(root), grace_s=0.0).catch_up()
        Exporter(one.database, LocalFolder(root), grace_s=0.0).start_over()
        Exporter(one.database, LocalFolder(root), grace_s=0.0).catch_up()
        for rec in (one, other):
            with Archive(rec.database, LocalFolder(root)) as archive:
                assert told(archive) == told(rec.database)
                (exporter,) = archive.exporters()
                assert len(exporter.listed().segments) == 2


def test_a_scheme_nobody_knows_is_an_error_of_one_line() -> None:
    with pytest.raises(LogError, match=r"^RECORDER_SEGMENTS: .*nowhere"):
        folder_at("nowhere://bucket/folder")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, "/data/runs.db.segments"),
        ("", None),
        ("off", None),
        ("OFF ", None),
        ("/elsewhere", "/elsewhere"),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_the_setting_names_the_place(setting: str | None, expected: str | None) -> None:
    settings = Settings(segments=setting)
    assert settings.segments_folder("sqlite:////data/runs.db") == expected


def test_a_server_s_segments_are_in_the_user_s_data_folder() -> None:
    one, other = (
        str(Settings().segments_folder(f"postgresql://host/{name}")) for name in ("one", "other")
    )
    assert "fal-flight-recorder" in one
    assert Path(one).parent == Path(other).parent
    assert one != other


def test_turned_off_all_comes_from_sql(sqlite_url: str, tmp_path: Path) -> None:
    import recorder

    settings = Settings(database_url=sqlite_url, segments="off", fal_key=None)
    with recorder.open(sqlite_url, settings=settings) as rec, open_archive(rec) as archive:
        recorded(rec)
        assert archive.exporters() == []
        assert told(archive) == told(rec.database)
    assert list(tmp_path.rglob("*.parquet")) == []
