"""What many answers are held against."""

from __future__ import annotations

from typing import Any

import httpx

from api.problems import Problem


def problem(response: httpx.Response, status: int, slug: str | None = None) -> dict[str, Any]:
    """The answer is this problem; returns its document."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    Problem.model_validate(document)
    expected = "about:blank" if slug is None else f"/problems/{slug}"
    assert (response.status_code, document["status"], document["type"]) == (
        status,
        status,
        expected,
    )
    return document


def wrong_fields(response: httpx.Response) -> list[str]:
    """The answer is a 422; returns the fields it names."""
    return [each["field"] for each in problem(response, 422, "invalid-request")["errors"]]
