"""Verbs of the simulator: simulate policies, in process or on a live service, and calibrate simulated users."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from metarl_rec.protocol import ADAPTED
from metarl_rec.workspace import Workspace
from service.commands.offline import DEFAULT_WORKDIR
from service.commands.options import ConfigFile, Debug, Seed, Set, Workdir, bar, configuration, console, friendly_errors

if TYPE_CHECKING:
    from metarl_rec.simulation import SimulationRun, Simulator
    from simulator import FactorUsers

__all__ = ["calibrate", "simulate"]

LIVE = "live service"


def simulate(
    world: Annotated[
        Literal["static", "satiation", "drift", "abrupt-drift", "sessions", "delayed", "hostile", "everything"],
        typer.Option(help="What moves in the world; --set world.NAME=VALUE changes any part of it."),
    ] = "static",
    population: Annotated[
        Literal["latent", "logged", "rated-only", "factors"],
        typer.Option(help="Drawn from a prior fitted on the data, held-out users' logs, or your own factors."),
    ] = "latent",
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="A policy's name as in `evaluate`'s table; repeatable. [default: six of them]"),
    ] = None,
    users: Annotated[int, typer.Option(help="Simulated users.")] = 500,
    steps: Annotated[int, typer.Option(help="Slates that each user is shown, if they stay.")] = 40,
    slate_size: Annotated[int, typer.Option(help="Items in a slate.")] = 1,
    session_length: Annotated[int, typer.Option(help="Steps in a session, in worlds where users leave.")] = 20,
    factors: Annotated[
        Path | None,
        typer.Option(
            help="NPZ file of arrays users (U x D), items (n x D), intercepts (n): logits, in the checkpoint's order.",
            dir_okay=False,
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Drive this running service as well, over REST, and compare it with the process.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Requests in flight at once, with --url.")] = 32,
    keep_users: Annotated[
        bool, typer.Option("--keep-users", help="With --url: do not delete the users at the end.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="One setting, for example world.leaving.hazard=0.05; repeatable."
        ),
    ] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    seed: Seed = None,
    debug: Debug = False,
) -> None:
    """Try policies on simulated users: reward and regret by interaction count, who leaves, coverage, whom it harms.

    Plays the stored checkpoint and its baselines on the same users in the same world; writes a table, JSON and plots.
    With --url the same users also use a running service of that checkpoint, through the very calls that serve.
    """
    with friendly_errors(debug):
        from metarl_rec.config import assigned, validated
        from metarl_rec.simulation import SimulationConfig
        from metarl_rec.worlds import PRESETS

        raw: dict[str, Any] = {
            "population": population, "users": users, "steps": steps, "slate_size": slate_size,
            "session_length": session_length, "seed": seed or 0, "world": PRESETS[world],
        }  # fmt: skip
        if policy:
            raw["policies"] = policy
        config = validated(SimulationConfig, assigned(raw, set_ or []), "metarl-rec simulate --help")
        workspace = Workspace(workdir)
        simulator, version = _simulator(workspace, config, None if factors is None else _factors(factors))
        run, agreement = _play(simulator, url, version, concurrency, keep_users)
        _report(workspace, run, {"world": world, "policy_version": version, "agreement": agreement})


def _simulator(workspace: Workspace, config: Any, factors: FactorUsers | None) -> tuple[Simulator, str]:
    from metarl_rec.export import meta_params
    from metarl_rec.pipeline import checkpoint_problem
    from metarl_rec.simulation import Simulator

    checkpoint, base, problem = checkpoint_problem(workspace)
    with console.status("fitting simulated users"):
        return Simulator(
            problem, meta_params(checkpoint, base, problem.space), base, config, factors
        ), checkpoint.version


def _factors(path: Path) -> FactorUsers:
    """Reads given users; arrays of numbers only, nothing in the file is executed."""
    import numpy as np
    import torch

    from metarl_rec.errors import DataError
    from simulator import FactorUsers, SimulatorError

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [torch.from_numpy(np.asarray(file[name], np.float32)) for name in ("items", "intercepts", "users")]
        return FactorUsers(*arrays)
    except (OSError, ValueError, KeyError, SimulatorError) as error:
        raise DataError(f"--factors {path}: {error}; it must hold users [U, D], items [n, D], intercepts [n]") from None


def _play(
    simulator: Simulator, url: str | None, version: str, concurrency: int, keep_users: bool
) -> tuple[SimulationRun, dict[str, Any] | None]:
    from metarl_rec.simulation import play_policies

    names = list(simulator.config.policies)
    if url is not None and ADAPTED not in names:
        names.append(ADAPTED)
    with bar("simulating", (len(names) + (url is not None)) * (simulator.config.steps + 1)) as progress:
        run = play_policies(simulator, names, lambda name, _: progress.advance(name))
        if url is None:
            return run, None
        return run, _play_live(simulator, run, url, version, concurrency, keep_users, lambda: progress.advance(LIVE))


def _play_live(
    simulator: Simulator, run: SimulationRun, url: str, version: str, concurrency: int, keep_users: bool, advance: Any
) -> dict[str, Any]:
    """Adds the service's roll-out to `run` and returns how it compares with the same policy in this process."""
    import numpy as np

    from metarl_rec.errors import ConfigError
    from metarl_rec.rollout import play
    from metarl_rec.seeding import generator
    from service.live_policy import LivePolicy

    config, dataset = simulator.config, simulator.problem.dataset
    if config.population == "rated-only":
        raise ConfigError("population rated-only offers each user other items, which a service does not; use logged")
    attributes = None
    if config.population == "logged":
        attributes = [dict(dataset.user_attributes[user]) for user in simulator.users]
    live = LivePolicy(
        url, dataset.item_ids, attributes, concurrency=concurrency, api_key=os.environ.get("METARL_API_KEY")
    )
    try:
        served = live.policy_version()
        if served != version:
            raise ConfigError(
                f"the service at {url} serves policy {served}, the work directory holds {version}; "
                "give the --workdir that the service was started with"
            )
        rollout = play(
            simulator.env(), live, config.steps, generator(config.seed, "simulate", LIVE), lambda *_: advance()
        )
    finally:
        live.close(keep_users=keep_users)
    run.add(LIVE, rollout)
    gap = run.rewards[LIVE].sum(axis=1, dtype=np.float64) - run.rewards[ADAPTED].sum(axis=1, dtype=np.float64)
    error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
    return {"difference": float(gap.mean()), "standard_error": error, "agrees": bool(abs(gap.mean()) <= 2 * error)}


def _report(workspace: Workspace, run: SimulationRun, context: dict[str, Any]) -> None:
    from metarl_rec.provenance import machine
    from metarl_rec.simulation_report import plot_simulation, simulation_table, write_simulation

    target, picture = workspace.simulation / "simulation.json", workspace.simulation / "simulation.png"
    write_simulation(target, run, {**context, "machine": machine()})
    plot_simulation(picture, run, f"{run.config.population} users, world {context['world']}")
    console.print(simulation_table(run))
    agreement = context["agreement"]
    if agreement is not None:
        console.print(
            f"{LIVE} minus {ADAPTED}, paired: {agreement['difference']:+.2f} ± {agreement['standard_error']:.2f}: "
            f"{'agrees' if agreement['agrees'] else '[bold red]does not agree[/]'} within 2 standard errors"
        )
    console.print(f"report: {target}   plots: {picture}", soft_wrap=True)


def calibrate(
    folds: Annotated[int, typer.Option(min=2, max=50, help="Parts of the users, each held out once.")] = 10,
    workdir: Workdir = DEFAULT_WORKDIR,
    config: ConfigFile = None,
    set_: Set = None,
    seed: Seed = None,
    debug: Debug = False,
) -> None:
    """Compare simulated users with held-out real ones: reward rates, spread between users, predicted probabilities.

    All users of the data set are held out in turn; simulated users are fitted on the others. Both conventions:
    rated-only (how people rate what they rated) and unrated-zero (what they would watch and like at all).
    """
    with friendly_errors(debug):
        from metarl_rec import dataset_store
        from metarl_rec.calibration import Calibration, HeldOut
        from metarl_rec.calibration import calibrate as hold_out
        from metarl_rec.calibration_report import calibration_table, plot_calibration, write_calibration
        from metarl_rec.provenance import machine
        from metarl_rec.user_models import Convention

        workspace = Workspace(workdir)
        settings = configuration(config, set_, seed)
        dataset = dataset_store.load(workspace.dataset)
        raw: dict[str, HeldOut] = {}
        conventions: tuple[Convention, ...] = ("rated-only", "unrated-zero")
        with bar("calibration", 2 * folds) as progress:
            for convention in conventions:
                raw[convention] = hold_out(
                    dataset, settings, convention, folds=folds, on_fold=lambda _: progress.advance()
                )
        results = {name: Calibration.of(held) for name, held in raw.items()}
        target, picture = workspace.calibration / "calibration.json", workspace.calibration / "calibration.png"
        context = {
            "dataset": {"name": dataset.name, "digest": dataset.digest, "users": len(dataset.user_ids)},
            "folds": folds,
            "config": settings.model_dump(mode="json"),
            "machine": machine(),
        }
        write_calibration(target, raw, results, context)
        plot_calibration(picture, raw, results, f"{dataset.name}: simulated beside held-out real users, {folds} folds")
        console.print(calibration_table(results))
        console.print(f"report: {target}   plots: {picture}", soft_wrap=True)
