"""Commands that serve until interrupted: `serve` and `emulator`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.errors import CliError
from cli.output import note
from cli.signals import ended_like_ctrl_c

if TYPE_CHECKING:
    from emulator.settings import EmulatorSettings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("serve")(serve)
    app.command("emulator")(emulator)


def serve(
    host: options.Host = "127.0.0.1",
    port: options.Port = options.SERVICE_PORT,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Upgrade a database of an older version first.")
    ] = False,
    db: options.Db = None,
) -> int:
    """Serve the HTTP API: runs, events, latency, live tails. Ctrl-C ends it."""
    from api.server import serve as serve_api  # loads FastAPI and DuckDB

    with options.open_recorder(db, migrate=migrate) as recorder:
        database = options.where(recorder)
        try:
            serve_api(
                recorder,
                host,
                port,
                on_ready=lambda url: note(f"{url} serves {database}"),
            )
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        except KeyboardInterrupt:  # uvicorn hands it on once it has ended in order
            pass
    return 0


def emulator(
    host: options.Host = "127.0.0.1",
    port: options.Port = 8400,
    workflows: Annotated[
        Path | None,
        typer.Option(
            "--workflows", metavar="DIR", help="A folder of definitions, beside the shipped ones."
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings", metavar="FILE", help="Latencies, faults and limits, as a JSON file."
        ),
    ] = None,
) -> int:
    """Serve a local workflow endpoint that speaks fal's protocol; no account, no network."""
    from emulator.library import WorkflowFileError
    from emulator.server import EmulatorServer

    try:
        server = EmulatorServer(_emulator_settings(settings, workflows), port, host)
        with ended_like_ctrl_c(), server:
            note(f"{server.url} speaks fal's protocol; RECORDER_FAL_URL={server.url}")
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    except WorkflowFileError as error:
        raise CliError(str(error)) from None
    except OSError as error:
        raise cannot_listen(host, port, error) from None
    return 0


def cannot_listen(host: str, port: int, error: OSError) -> CliError:
    """The error for an address that is taken, foreign or none."""
    reason = (error.strerror or str(error)).partition(" (")[0].lower()  # asyncio adds the address
    return CliError(f"cannot listen on {host}:{port}: {reason}")


def _emulator_settings(file: Path | None, workflows: Path | None) -> EmulatorSettings:
    from emulator.problems import Invalid
    from emulator.settings import EmulatorSettings

    try:
        chosen = EmulatorSettings() if file is None else EmulatorSettings.from_file(file)
    except OSError as error:
        raise CliError(f"--settings: {file}: {(error.strerror or 'unreadable').lower()}") from None
    except Invalid as error:
        raise CliError(f"--settings: {file}: {error}") from None
    return chosen if workflows is None else chosen.model_copy(update={"workflows_dir": workflows})
