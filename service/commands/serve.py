"""The verb that serves; nothing here or below it may import a trainer library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metarl_rec.workspace import Workspace
from service.commands.options import Debug, Workdir, friendly_errors

__all__ = ["Host", "Port", "run_service", "serve"]

Host = Annotated[str, typer.Option(help="Address to bind.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to bind.")]


def serve(
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint to serve. [default: the work directory's]", file_okay=False)
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workdir: Workdir = Path("metarl-data"),
    debug: Debug = False,
) -> None:
    """Serve a checkpoint over REST until Ctrl+C or SIGTERM.

    Without METARL_REDIS_URL an embedded Redis is started in the work directory, append-only file always synced.
    Every other setting is an environment variable with the prefix METARL_.

    On any address but a loopback one, callers need API keys: set METARL_ADMIN_KEY (32 characters or more, for example
    from `openssl rand -hex 32`) and make keys with it: `METARL_API_KEY=... metarl-rec keys create NAME --role writer`.
    """
    with friendly_errors(debug):
        run_service(Workspace(workdir), host, port, checkpoint)


def run_service(workspace: Workspace, host: str, port: int, checkpoint: Path | None = None) -> None:
    """Runs the service in this process; returns after a graceful stop."""
    from service.server import run
    from service.settings import load_settings

    run(
        load_settings(
            checkpoint_dir=checkpoint or workspace.checkpoint, data_dir=workspace.service, host=host, port=port
        )
    )
