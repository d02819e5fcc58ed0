"""The README's Python is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli import options

README = Path(__file__).parent.parent / "README.md"


def test_the_readmes_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == ["submit", "completion", "interrupted [('draw', 'completed')]"]
    assert [line.split()[:2] for line in printed[3:]] == [
        ["1", "opened"],
        ["2", "submit"],
        ["3", "completion"],
        ["4", "closed"],
    ]


def test_the_documents_name_the_ports_that_are_listened_on() -> None:
    documents = [README, *README.parent.glob("docs/*.md")]
    named = {
        port for each in documents for port in re.findall(r"127\.0\.0\.1:(\d+)", each.read_text())
    }
    assert named == {str(options.SERVICE_PORT), "8400"}


def test_the_readmes_files_exist() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text())
    assert [link for link in links if not (README.parent / link).exists()] == []
