"""docs/cli.md names every command and option there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def every_option(command: Any) -> set[str]:
    """What a command takes, and those below it."""
    own = {option for each in command.params for option in each.opts if option.startswith("-")}
    return own.union(*map(every_option, getattr(command, "commands", {}).values()))


def section(command: str) -> str:
    found = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/cli.md has no section {command!r}"
    return found[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_an_example_and_its_options(command: str) -> None:
    documented = set(re.findall(r"`(--?[a-z][a-z-]*)", section(command)))
    assert documented - {"--help"} == every_option(COMMANDS[command]) - {"--help", "-h"}
    assert f"recorder {command}" in section(command)
    for below in getattr(COMMANDS[command], "commands", {}):
        assert f"recorder {command} {below}" in section(command)


def test_no_other_commands_are_documented() -> None:
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted([*COMMANDS, "Shell completion"])


def test_every_example_names_options_that_exist() -> None:
    for line in re.findall(r"^(?:RECORDER_\S+ )?recorder (.+)$", PAGE, re.MULTILINE):
        command, *words = line.split("|")[0].split()
        if command == "COMMAND":
            continue
        asked = COMMANDS[command]
        if command == "report" and not words[0].startswith("-"):
            asked = asked.get_command(None, words[0])
        assert {word for word in words if word.startswith("-")} <= every_option(asked), line
