"""The Python face: every question, of whatever is recorded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import analytics
from analytics.asking import text_of
from analytics.catalogue import QUESTIONS
from analytics.face import Analytics
from analytics.question import Question, schema_of
from analytics.questions.latency import Latency
from analytics.questions.paths import RunPath
from recorder.bootstrap import Recorder
from recorder.errors import RunNotFound
from tests.builders import (
    completion,
    error,
    frame,
    history,
    interleaved,
    one_step_run,
    opened,
    output,
    submit,
)

DOCS = Path(__file__).parents[2] / "docs" / "analytics.md"
SQL = sorted((Path(analytics.__file__).parent / "questions").glob("*.sql"))
ABOUT_MANY = [question for question in QUESTIONS if issubclass(question, Question)]

ODD = interleaved(
    one_step_run("well"),
    history("failed", submit("a"), error("a", status=422), every_us=7),
    history("unfinished", submit("a"), submit("b", app_id=None), reason="cut"),
    history("running", submit("a"), completion("a", inference_s=9.0), reason=None),
    history("again", submit("a"), error("a"), submit("a"), completion("a"), output()),
    history("no submit", completion("a", inference_s=0.5), output()),
    history(
        "untimed", submit("a"), completion("a"), output(), document=opened("untimed", timed=False)
    ),
    history("no node", frame({"type": "submit"}), output()),
    history("nul", submit("nul \0"), completion("nul \0"), output()),
)


@pytest.mark.parametrize("question", ABOUT_MANY, ids=lambda question: question.name)
def test_every_question_has_an_answer_whatever_is_recorded(
    rec: Recorder, question: type[Question]
) -> None:
    row = question.answer_model.model_fields["rows"].annotation.__args__[0]  # type: ignore[union-attr]
    asked = Analytics(rec)
    empty = asked.ask(question.read({}))
    assert (empty.table.num_rows, empty.as_of_position) == (0, 0)
    rec.log.append(history("unopened", submit("a"), output())[:1])
    rec.log.append(ODD)
    answered = asked.ask(question.read({"until": "1m"}))
    assert answered.as_of_position == rec.log.head().position
    assert empty.table.schema == answered.table.schema == schema_of(row)
    question.answer_model(rows=answered.table.to_pylist(), as_of_position=1)
    narrowed = {"workflow": "w", "node": "n", "app": "a", "status": "failed", "definition": "d"}
    assert asked.ask(question.read(narrowed)).table.num_rows == 0


def test_a_question_sees_what_was_just_recorded_and_only_what_it_selects(rec: Recorder) -> None:
    asked = Analytics(rec)
    rec.log.append(one_step_run("one"))
    rec.log.append(one_step_run("two", "b"))
    table = asked.latency(by="node", measures="duration", percentiles=50, node="b")
    assert isinstance(table, pa.Table)
    assert [(row["node"], row["n"]) for row in table.to_pylist()] == [("b", 1)]
    assert asked.ask(Latency.read({})).as_of_position == 10


def test_the_path_of_a_run_that_there_is_not(sqlite_rec: Recorder) -> None:
    with pytest.raises(RunNotFound):
        Analytics(sqlite_rec).ask(RunPath(request_id="none"))


def test_a_log_opened_here_is_closed_here(tmp_path: Path) -> None:
    with analytics.open(f"sqlite:///{tmp_path / 'runs.db'}") as asked:
        assert asked.errors().num_rows == 0


def test_there_is_a_method_for_every_question(sqlite_rec: Recorder) -> None:
    asked = Analytics(sqlite_rec)
    for question in ABOUT_MANY:
        table = getattr(asked, question.name.replace("-", "_"))()
        assert table.num_rows == 0


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, recorder, analytics; print(sorted({'duckdb', 'pyarrow', 'scipy', 'pydantic'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_the_manuals_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "analytics.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[:1] == ["draw duration 1"]


def test_the_manual_tells_of_every_question_and_parameter() -> None:
    manual = DOCS.read_text(encoding="utf-8")
    for question in QUESTIONS:
        section = re.search(
            rf"^### `{question.name}`\n(.*?)(?=^##|\Z)", manual, re.MULTILINE | re.DOTALL
        )
        assert section is not None, question.name
        own = set(question.model_fields) - set(Question.model_fields)
        assert {name for name in own if f"`{name}`" not in section[1]} == set(), question.name


@pytest.mark.parametrize("file", SQL, ids=lambda file: file.stem)
def test_every_file_says_what_it_reads_and_gives_and_takes_its_parameters_bound(file: Path) -> None:
    text = text_of(file.stem)
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("--"))
    assert re.match(r"-- .*[?:.]\n", head)
    for word in ("Reads", "Grain", "Columns"):
        assert re.search(rf"^-- {word} ", head, re.MULTILINE), word
    body = text.removeprefix(head)
    assert {name for name in re.findall(r"\$(\w+)", body) if f"${name}" not in head} == set()
    assert "{" not in re.sub(r"\{\s*'", "", body)
