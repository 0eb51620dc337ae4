"""The one entry point: composes all three packages, with heavy imports inside the verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from metarl_rec import __version__
from service.commands import offline
from service.commands.admin_verbs import keys, tenants
from service.commands.asking import feedback, recommend
from service.commands.item_verbs import items
from service.commands.quickstart import quickstart
from service.commands.serve import serve
from service.commands.simulation import calibrate, simulate
from service.commands.user_verbs import users

__all__ = ["app", "main"]

app = typer.Typer(
    name="metarl-rec",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Recommendations that become personal after two or three reactions: meta-learned PPO adaptation per user. "
    "Start with: metarl-rec quickstart",
)
app.command()(quickstart)
app.command("import")(offline.import_)
app.command()(offline.embed)
app.command()(offline.train)
app.command()(offline.tune)
app.command()(offline.evaluate)
app.command()(simulate)
app.command()(calibrate)
app.command()(serve)
app.command()(offline.inspect)
app.command()(recommend)
app.command()(feedback)
app.add_typer(items, name="items")
app.add_typer(users, name="users")
app.add_typer(keys, name="keys")
app.add_typer(tenants, name="tenants")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metarl-rec {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
