"""Moments as people write them, and the buckets they fall into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from analytics.moments import Bucket, edges, read_moment, shown

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SIX = 1_795_413_600_000_000


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-11-23T06:00:00Z", SIX),
        ("2026-11-23T07:00:00.000001+01:00", SIX + 1),
        ("2026-11-23 06:00", SIX),
        ("2026-11-23", SIX - 6 * 3_600_000_000),
        ("30s", SIX - 30_000_000),
        (" 90m ", SIX - 5_400_000_000),
        ("24h", SIX - 86_400_000_000),
        ("7d", SIX - 7 * 86_400_000_000),
        ("2w", SIX - 14 * 86_400_000_000),
        (NOW, SIX),
        (datetime(2026, 11, 23, 6, 0), SIX),
        (datetime(2026, 11, 23, 7, 0, tzinfo=timezone(timedelta(hours=1))), SIX),
        (SIX, SIX),
        (None, None),
    ],
)
def test_a_moment_is_iso_8601_or_so_long_ago(text: object, us: int | None) -> None:
    assert read_moment(text, now=NOW) == us


@pytest.mark.parametrize(
    "text", ["", "now", "7", "7y", "-7d", "999999999w", "2026-13-01", True, 1.5]
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no time; give 2026-11-23T06:00:00Z"):
        read_moment(text, now=NOW)


def test_moments_of_answers_name_their_zone() -> None:
    assert shown(datetime(2026, 11, 23, 6, 0)) == "2026-11-23T06:00:00.000000Z"


@pytest.mark.parametrize(
    ("bucket", "told"),
    [
        ("minute", ["2026-11-26T23:59", "2026-11-27T00:00", "2026-11-27T00:01"]),
        ("hour", ["2026-11-26T23:00", "2026-11-27T00:00", "2026-11-27T01:00"]),
        ("day", ["2026-11-26T00:00", "2026-11-27T00:00", "2026-11-28T00:00"]),
        ("week", ["2026-11-23T00:00", "2026-11-30T00:00"]),
        ("month", ["2026-11-01T00:00", "2026-12-01T00:00"]),
    ],
)
def test_buckets_are_those_of_the_calendar(bucket: Bucket, told: list[str]) -> None:
    first = read_moment("2026-11-26T23:59:59Z")
    last = read_moment("2026-11-27T00:00:00Z")
    assert first is not None
    assert last is not None
    found = edges(first, last, bucket).astype("M8[us]").astype("M8[m]")
    assert np.datetime_as_string(found).tolist() == told
