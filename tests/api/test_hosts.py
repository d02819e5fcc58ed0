"""The names the service goes by: none that somebody outside may have made point here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest

from api.app import create_app
from api.hosts import Hosts
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.settings import Settings
from tests.api.asserts import problem
from tests.builders import one_step_run
from tests.proxy.asking import Fields, Reply, ask
from tests.proxy.stage import CALL, SERVER_PROXY, Stage, staged
from tests.proxy.test_money import problem_of
from tests.proxy.upstream import Upstream, fresh_id, sized

OUR_OWN = [
    "localhost",
    "LOCALHOST:8765",
    "localhost.",
    "recorder.localhost:1",
    "127.0.0.1",
    "127.0.0.1:8765",
    "192.168.1.7:80",
    "[::1]",
    "[::1]:8765",
    "[fe80::1]:8765",
    "recorder",
    "recorder:8765",
    "testserver",
    "",
]
ANOTHERS = [
    "evil.example",
    "evil.example:8765",
    "EVIL.example.",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io",
    "1.2.3",
    "1.2.3.4.5",
    "[::1].evil.example",
    "evil.example:80:80",
    "evil.example:x",
    "localhost@evil.example",
    "::1.evil.example",
    ".localhost.example",
]


def scope(*hosts: str) -> dict[str, object]:
    return {"type": "http", "headers": [(b"host", host.encode()) for host in hosts]}


@pytest.mark.parametrize("host", OUR_OWN)
def test_addresses_and_names_without_a_dot_are_known(host: str) -> None:
    assert Hosts([]).knows(scope(host))


@pytest.mark.parametrize("host", ANOTHERS)
def test_no_name_of_the_public_dns_is_known_by_itself(host: str) -> None:
    assert not Hosts([]).knows(scope(host))


def test_names_are_known_where_they_are_named_at_any_port() -> None:
    hosts = Hosts(["Recorder.example", "other.example:443"], ["bound.example"])
    known = ["recorder.example", "recorder.example:1", "OTHER.example.", "bound.example:8765"]
    assert [hosts.knows(scope(host)) for host in known] == [True] * 4
    assert not hosts.knows(scope("a.recorder.example"))
    assert Hosts(["*"]).knows(scope("evil.example"))


def test_all_hosts_of_a_request_have_to_be_known() -> None:
    assert not Hosts([]).knows(scope("localhost", "evil.example"))
    assert Hosts([]).knows(scope())


class TestWhereNoneAreNamed:
    @pytest.fixture
    def open_(self, sqlite_url: str) -> Iterator[Stage]:
        """A proxy that uses its key for everybody."""
        with Upstream() as upstream:
            upstream.answer(sized(fresh_id(), b"{}"))
            with staged(sqlite_url, upstream, fal_key="own:secret", inject_key=True) as stage:
                yield stage

    def test_the_key_is_spent_under_a_known_name_only(self, open_: Stage) -> None:
        def asked(host: str, *fields: tuple[str, str]) -> Reply:
            return open_.through(CALL, fields=[("host", host), *fields])

        assert problem_of(asked("evil.example")) == (421, "/problems/host-refused", True)
        assert open_.upstream.connections == 0
        assert asked("evil.example", ("authorization", "Key their:own")).status == 200
        assert asked("127.0.0.1").status == 200

    @pytest.mark.parametrize("way_in", ["host-style", "server proxy"])
    def test_a_page_that_has_its_name_lead_here_is_not_our_own(
        self, open_: Stage, way_in: str
    ) -> None:
        told: Fields = [("host", "evil.example:8765"), ("origin", "http://evil.example:8765")]
        if way_in == "host-style":
            reply = open_.through(CALL, fields=told)
        else:
            target = ("x-fal-target-url", f"https://fal.run{CALL}")
            reply = ask(open_.server.url, SERVER_PROXY, fields=[*told, target])
        assert problem_of(reply) == (403, "/problems/origin-refused", True)
        assert open_.upstream.connections == 0

    @pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/runs/run/rerun"])
    def test_no_run_is_started_under_another_name(self, sqlite_rec: Recorder, path: str) -> None:
        sqlite_rec.log.append(one_step_run("run"))
        body = {"workflow": "workflows/o/n", "input": {}}
        with ApiServer(sqlite_rec) as server:
            response = httpx.post(
                f"{server.url}{path}", json=body, headers={"host": "evil.example"}, trust_env=False
            )
        problem(response, 421, "host-refused")


class TestWhereSomeAreNamed:
    @pytest.fixture
    def get(self, sqlite_rec: Recorder) -> Callable[[str, str], httpx.Response]:
        settings: Settings = sqlite_rec.settings
        settings.hosts = ("recorder.example",)
        app = create_app(sqlite_rec, host="bound.example")

        def get(path: str, host: str) -> httpx.Response:
            async def ask() -> httpx.Response:
                async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                    return await client.get(f"http://test{path}", headers={"host": host})

            return asyncio.run(ask())

        return get

    @pytest.mark.parametrize("path", ["/api/v1/runs", "/", "/replay/run/workflows/o/n", "/x"])
    def test_nothing_is_answered_under_another(
        self, get: Callable[[str, str], httpx.Response], path: str
    ) -> None:
        problem(get(path, "evil.example"), 421, "host-refused")

    def test_probes_are_and_so_is_everything_under_these(
        self, get: Callable[[str, str], httpx.Response]
    ) -> None:
        assert get("/healthz", "evil.example").status_code != 421
        for host in ("recorder.example", "bound.example", "127.0.0.1:80"):
            assert get("/api/v1/runs", host).status_code == 200
