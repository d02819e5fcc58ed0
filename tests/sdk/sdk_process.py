"""A program that uses fal's client, instrumented; tests kill it."""

from __future__ import annotations

import sys

import fal_client

import recorder
from tests.sdk.calls import INPUT, TINY
from tests.trust.durability.victims import say


def main(recorder_url: str, fal_url: str) -> None:
    fal_client.client.RUN_URL_FORMAT = f"{fal_url}/"
    recorder.instrument(recorder_url)
    for event in fal_client.SyncClient(key="any").stream(TINY, INPUT):
        say(event["type"])


if __name__ == "__main__":
    main(*sys.argv[1:])
