from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.options import moment_us, request_body

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
NOON_US = 1_795_435_200_000_000  # 2026-11-23T12:00:00Z


@pytest.mark.parametrize(
    ("given", "expected_us"),
    [
        (None, None),
        ("2026-11-23T12:00:00Z", NOON_US),
        ("2026-11-23T12:00:00.000001+00:00", NOON_US + 1),
        ("2026-11-23T14:00:00+02:00", NOON_US),
        ("2026-11-23T12:00:00", NOON_US),
        ("2026-11-23", NOON_US - 12 * 3600 * 1_000_000),
        ("45s", NOON_US - (6 * 3600 + 45) * 1_000_000),
        ("30m", NOON_US - (6 * 3600 + 1800) * 1_000_000),
        ("12h", NOON_US - 18 * 3600 * 1_000_000),
        ("7d", NOON_US - (6 + 7 * 24) * 3600 * 1_000_000),
        ("1w", NOON_US - (6 + 7 * 24) * 3600 * 1_000_000),
    ],
)
def test_a_time_is_a_moment_or_so_long_ago(given: str | None, expected_us: int | None) -> None:
    assert moment_us(given, "--since", now=NOW) == expected_us


@pytest.mark.parametrize("given", ["", "yesterday", "7", "7y", "-7d", "999999999w", "2026-13-01"])
def test_what_is_no_time_is_refused_by_the_name_of_the_option(given: str) -> None:
    with pytest.raises(CliError, match=r"^--until: '.*' is no time; give ") as caught:
        moment_us(given, "--until", now=NOW)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ([], "{}"),
        (["prompt=a cat"], '{"prompt": "a cat"}'),
        (["n=2", "on=true", "sizes=[1, 2]", "none=null"], None),
        (["seed=9007199254740993"], '{"seed": 9007199254740993}'),
        (['prompt="2"'], '{"prompt": "2"}'),
        (["prompt="], '{"prompt": ""}'),
        (["url=http://x/?a=b"], '{"url": "http://x/?a=b"}'),
        (["x=NaN", "y=007"], '{"x": "NaN", "y": "007"}'),
        (["n=1", "n=2"], '{"n": 2}'),
        (['{"n": 1, "m": 1}', "n=2"], '{"n": 2, "m": 1}'),
    ],
)
def test_an_input_is_put_together_from_pairs_and_objects(
    given: list[str], body: str | None
) -> None:
    expected = body or '{"n": 2, "on": true, "sizes": [1, 2], "none": null}'
    assert request_body(given) == expected.encode()


def test_a_single_object_or_file_is_sent_byte_for_byte(tmp_path: Path) -> None:
    odd = '{ "seed":1.10,"a":"é","a":2 }\n'
    path = tmp_path / "input.json"
    path.write_text("\ufeff" + odd, encoding="utf-8")
    assert request_body([odd]) == odd.encode()
    assert request_body([f"@{path}"]) == odd.encode()


def test_an_input_can_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert request_body(["@-"]) == b'{"a": 1}'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("prompt", "--input: 'prompt' is none of key=value, @file.json and a JSON object"),
        ("=x", "--input: '=x' is none of key=value, @file.json and a JSON object"),
        ('{"a": }', "--input: the JSON given: Expecting value: line 1 column 7 (char 6)"),
        ('{"a": NaN}', "--input: the JSON given: is no JSON"),
        ('{"a": 1e999}', "--input: the JSON given: is no JSON"),
        ("{" * 100_000, None),
        ("@nowhere.json", "--input: nowhere.json: no such file or directory"),
        ("@", "--input: : is a directory"),
        ("@nul\0.json", "--input: nul\0.json: embedded null byte"),
        ("@list.json", "--input: list.json: a run's input is a JSON object"),
        ("@latin1.json", "--input: latin1.json is not UTF-8"),
        (os.fsdecode(b"prompt=\xff"), "--input: the value of 'prompt' is not UTF-8"),
    ],
)
def test_an_unusable_input_is_refused_in_one_line(
    given: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[1]")
    Path("latin1.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(CliError) as caught:
        request_body([given])
    assert said is None or str(caught.value) == said
