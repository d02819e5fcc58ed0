"""How many requests are on their way through, as a monitor is told."""

from __future__ import annotations

from tests.proxy.asking import ask, asking
from tests.proxy.stage import Stage
from tests.proxy.upstream import Do, fresh_id


def passing(stage: Stage) -> int:
    text = ask(stage.server.url, "/metrics", method="GET", body=b"").body.decode()
    [line] = [each for each in text.splitlines() if each.startswith("recorder_proxy_requests ")]
    return int(line.partition(" ")[2])


def test_a_request_counts_until_its_answer_has_ended(stage: Stage) -> None:
    stage.let_it_notice()
    before = passing(stage)
    stage.upstream.answer(Do.WAIT)
    path = f"/queue/workflows/o/n/requests/{fresh_id()}"
    with asking(stage.url, path, method="GET", body=b""):
        stage.upstream.wait_until_asked()
        assert passing(stage) == before + 1
    stage.upstream.wait_until_left()
    stage.let_it_notice()
    assert passing(stage) == before
