"""The workflows an emulator offers, read from folders of JSON files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.definition import Definition, parse
from emulator.json_text import read_json
from emulator.problems import Invalid

SHIPPED = Path(__file__).parent / "workflows"
DEFAULT_OWNER = "local"


class WorkflowFileError(Exception):
    """A workflow file cannot be used. The message is one line and names the file."""


@dataclass(frozen=True)
class Workflow:
    """A definition, the document it was read from and the id it is called by, ``owner/name``."""

    id: str
    definition: Definition
    document: Any


def load(folder: Path | None, documents: Mapping[str, Any]) -> dict[str, Workflow]:
    """The shipped workflows, those of ``folder`` and the given documents, later ones winning.

    Raises:
        WorkflowFileError: the folder or a file in it cannot be read, is no workflow, or two files
            of the folder have the same id.
    """
    workflows = _read_folder(SHIPPED)
    if folder is not None:
        workflows |= _read_folder(folder)
    for workflow_id, document in documents.items():
        workflows[workflow_id] = _read(workflow_id, document, workflow_id)
    return workflows


def _read_folder(folder: Path) -> dict[str, Workflow]:
    if not folder.is_dir():
        raise WorkflowFileError(f"{folder}: not a folder of workflow definitions")
    found: dict[str, Workflow] = {}
    origin: dict[str, Path] = {}
    for path, document in _read_files(folder):
        workflow_id = _id_of(path.relative_to(folder), document)
        if workflow_id in found:
            raise WorkflowFileError(f"{path}: {workflow_id!r} is already in {origin[workflow_id]}")
        found[workflow_id] = _read(workflow_id, document, str(path))
        origin[workflow_id] = path
    return found


def _read_files(folder: Path) -> Iterator[tuple[Path, Any]]:
    for path in sorted(folder.rglob("*.json")):
        try:
            yield path, read_json(path.read_bytes())
        except OSError as error:
            raise WorkflowFileError(f"{path}: {error.strerror}") from None
        except Invalid as error:
            raise WorkflowFileError(f"{path}: {error}") from None


def _read(workflow_id: str, document: Any, origin: str) -> Workflow:
    try:
        return Workflow(workflow_id, parse(document), document)
    except Invalid as error:
        raise WorkflowFileError(f"{origin}: {error}") from None


def _id_of(path: Path, document: Any) -> str:
    """``owner/name.json`` says both; a file at the top gives them in its fields."""
    if len(path.parts) > 1:
        return f"{path.parts[-2]}/{path.stem}"
    fields = document if isinstance(document, dict) else {}
    owner, name = fields.get("owner"), fields.get("name")
    owner = owner if isinstance(owner, str) and owner else DEFAULT_OWNER
    name = name if isinstance(name, str) and name else path.stem
    return f"{owner}/{name}"
