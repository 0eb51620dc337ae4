"""Choosing and meta-training with their progress bars, as `train` and `quickstart` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metarl_rec.workspace import Workspace
from service.commands.options import bar, console

if TYPE_CHECKING:
    from metarl_rec.checkpoint import Checkpoint
    from metarl_rec.config import RunConfig
    from metarl_rec.train import Progress, TrainResult

__all__ = ["Choose", "trained"]

Choose = Annotated[
    bool,
    typer.Option(
        "--choose/--no-choose",
        help="First choose the scale of item attributes, the soft threshold, the gain of user attributes and the "
        "noises, by users of the split who are not tested; those that --set or --config changes stay.",
    ),
]


def trained(
    workspace: Workspace, settings: RunConfig, *, choose: bool, resume: bool = False, indent: str = ""
) -> tuple[Checkpoint, TrainResult]:
    """Returns the stored checkpoint and what meta-training gave, after showing how far it is."""
    from metarl_rec import pipeline
    from metarl_rec.choosing import Choices, choices_of

    if choose:
        with bar(f"{indent}choosing: starts played", Choices.left_open(settings).count) as progress:
            settings = pipeline.choose(workspace, settings, progress.show)
        found = ", ".join(f"{name} {value}" for name, value in choices_of(settings).items())
        console.print(f"{indent}chosen within the split: {found}", highlight=False, soft_wrap=True)
    with bar(f"{indent}{settings.train.algorithm}: validation", settings.train.iterations) as progress:

        def show(state: Progress) -> None:
            progress.show(state.iteration, note=f"{state.latest.before:.2f} -> {state.latest.after:.2f}")

        return pipeline.train(workspace, settings, resume=resume, on_progress=show)
