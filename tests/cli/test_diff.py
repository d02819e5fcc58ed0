"""`recorder diff`: two runs side by side on the terminal."""

from __future__ import annotations

import pytest

import recorder
from api.comparison_models import ComparisonModel
from tests.builders import completion, error, frame, history, opened, output, submit
from tests.cli.builders import Cli

EVIL = "\x1b[2J[red]x"


@pytest.fixture
def two(database: str) -> None:
    """A run that went well, and one of another prompt that did not."""
    cat, dog = (opened(name, input=f'{{"prompt": "a {name}"}}') for name in ("cat", "dog"))
    told = frame({"type": "completion", "node_id": "x", "output": {"seed": 1, "a": [1]}})
    other = frame({"type": "completion", "node_id": "x", "output": {"seed": 2, "b": EVIL}})
    good = [submit("x"), told, submit("y"), completion("y", inference_s=0.05), output({"u": 1})]
    bad = [submit("x"), frame({"type": "ping"}), other, submit("y"), error("y", message=EVIL)]
    with recorder.open(database) as rec:
        rec.log.append(history("cat", *good, document=cat))
        rec.log.append(history("dog", *bad, submit("z"), document=dog))


@pytest.mark.usefixtures("two")
def test_outcome_durations_and_changes_are_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    told = cli.ok("diff", "cat", "dog")
    lines = [line.rstrip() for line in told.out.splitlines()]
    assert lines == [
        "   run  workflow             status         took        Δ",
        "a  cat  fal-ai/sdxl-sticker  ✓ completed  600 ms",
        "b  dog  fal-ai/sdxl-sticker  ✗ failed     700 ms  +100 ms",
        "b: \\x1b[2J[red]x (500)",
        "",
        "a  b  step  took a  took b        Δ  inference a  inference b  Δ inference  output",
        "✓  ✓  x     100 ms  200 ms  +100 ms            –            –            –  3 changes",
        "✓  ✗  y     100 ms  100 ms     0 µs        50 ms            –            –  –",
        "–  ◌  z          –       –        –            –            –            –  –",
        "",
        "input",
        '~ /prompt  "a cat" → "a dog"',
        "",
        "output of x",
        "~ /seed  1 → 2",
        "- /a  [1]",
        '+ /b  "\\u001b[2J[red]x"',
    ]


@pytest.mark.usefixtures("two")
def test_json_is_the_document_of_the_service(cli: Cli) -> None:
    document = cli.ok("diff", "cat", "dog", "--json").json
    compared = ComparisonModel.model_validate(document)
    assert (compared.a.request_id, compared.b.request_id) == ("cat", "dog")
    assert compared.duration_delta_us == 100_000


@pytest.mark.usefixtures("two")
def test_a_run_does_not_differ_from_itself(cli: Cli) -> None:
    told = cli.ok("diff", "cat", "cat")
    assert told.out.count("same") == 2
    assert "→" not in told.out
