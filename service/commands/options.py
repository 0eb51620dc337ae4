"""Options that several verbs share, and how errors reach the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from metarl_rec.errors import MetarlError

if TYPE_CHECKING:
    from metarl_rec.config import RunConfig

__all__ = [
    "Algorithm",
    "Bar",
    "ConfigFile",
    "Debug",
    "EmbeddingModel",
    "Seed",
    "Set",
    "Workdir",
    "bar",
    "configuration",
    "console",
    "friendly_errors",
]

console = Console()

Workdir = Annotated[
    Path,
    typer.Option(
        "--workdir", envvar="METARL_WORKDIR", help="Directory that the stages read and write.", file_okay=False
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings; see --set for their names.", dir_okay=False)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, for example train.iterations=40; repeatable."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Decides the split of users and every draw. [default: 0]")]
Algorithm = Annotated[
    Literal["maml", "fomaml", "reptile", "joint"] | None,
    typer.Option(
        help="Outer loop: exact second order, first order, Reptile, or joint training without an inner loop. "
        "[default: train.algorithm, maml]"
    ),
]
EmbeddingModel = Annotated[
    str | None,
    typer.Option(
        help="svd, or a RecBole general recommender with item embeddings: BPR, LightGCN, SimpleX, NeuMF, ENMF, ... "
        "[default: embedding.model, svd]"
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def configuration(
    config: Path | None,
    assignments: list[str] | None,
    seed: int | None,
    *,
    algorithm: str | None = None,
    embedding_model: str | None = None,
) -> RunConfig:
    """Returns the settings of an offline verb: the file, then assignments, then options of their own."""
    # The settings name the simulator's dynamics, and with them torch; `serve` must not load either.
    from metarl_rec.config import load_config

    options = {"seed": seed, "train.algorithm": algorithm, "embedding.model": embedding_model}
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return load_config(config, [*(assignments or []), *given])


def _is_interrupt(error: BaseException) -> bool:
    """Returns whether Ctrl+C is behind an error: what arrives within a compiled kernel comes out as a SystemError."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


@contextmanager
def friendly_errors(debug: bool, on_interrupt: str = "stopped") -> Iterator[None]:
    """Turns an error that the user can put right into one line and exit code 2, and Ctrl+C into `on_interrupt`."""
    try:
        yield
    except (KeyboardInterrupt, SystemError) as error:
        if not _is_interrupt(error):
            raise
        Console(stderr=True).print(on_interrupt, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    except MetarlError as error:
        if debug:
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if debug or error.name not in (
            "torch",
            "recbole",
            "pandas",
            "scipy",
            "matplotlib",
            "jinja2",
            "optuna",
        ):
            raise
        print(f"error: this verb needs {error.name}; pip install 'metarl-rec[train]'", file=sys.stderr)  # noqa: T201
        raise typer.Exit(2) from None


class Bar:
    """A progress bar with one task and a note behind it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def show(self, done: int, total: int | None = None, note: str = "") -> None:
        """Moves the bar to `done`; a new total replaces the old one."""
        self._progress.update(self._task, completed=done, total=total, note=note)

    def advance(self, note: str = "") -> None:
        """Moves the bar by one."""
        self._progress.update(self._task, advance=1, note=note)

    def finish(self) -> None:
        """Moves the bar to its end."""
        task = self._progress.tasks[0]
        self._progress.update(self._task, completed=task.total)


@contextmanager
def bar(description: str, total: int) -> Iterator[Bar]:
    """Shows a progress bar for as long as the block runs."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
    ) as progress:
        yield Bar(progress, progress.add_task(description, total=total, note=""))
