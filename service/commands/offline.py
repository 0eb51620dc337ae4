"""Offline verbs: import, embed, train, tune, evaluate, inspect. Each reads and writes files of one work directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metarl_rec.statistics import Episodes
from metarl_rec.workspace import Workspace
from service.commands.options import (
    Algorithm,
    ConfigFile,
    Debug,
    EmbeddingModel,
    Seed,
    Set,
    Workdir,
    bar,
    configuration,
    console,
    friendly_errors,
)
from service.commands.talking import file_progress, plain
from service.commands.training import Choose, trained

if TYPE_CHECKING:
    from metarl_rec.importing import ImportReport

__all__ = ["embed", "evaluate", "import_", "inspect", "train", "tune"]

ProtocolSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the protocol, for example splits=5 or run.threshold=3; a wrong name lists those there are.",
    ),
]
DEFAULT_WORKDIR = Path("metarl-data")


def import_(
    source: Annotated[
        str,
        typer.Argument(help="A file or directory of interactions, or ml-100k for the data set bundled with RecBole."),
    ],
    format_: Annotated[
        Literal["auto", "csv", "parquet", "jsonl", "atomic", "gorse", "metarank", "movielens"],
        typer.Option("--format", help="How SOURCE is written."),
    ] = "auto",
    user_column: Annotated[str, typer.Option(help="Column with the user id.")] = "user_id",
    item_column: Annotated[str, typer.Option(help="Column with the item id.")] = "item_id",
    rating_column: Annotated[str, typer.Option(help="Column with the rating.")] = "rating",
    timestamp_column: Annotated[str, typer.Option(help="Column with the time, if any.")] = "timestamp",
    items: Annotated[Path | None, typer.Option(help="File of item attributes.")] = None,
    users: Annotated[Path | None, typer.Option(help="File of user attributes.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="TYPE=RATING",
            help="What events of a type mean, ahead of the usual rules: share=5 (liked), share=1 (not liked), "
            "'read>=3=5', stars=value, view=seen (shown, no more), share=ignore, '*=seen'.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set; else the source's.")] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    debug: Debug = False,
) -> None:
    """Read interactions, report rejected rows with file and line number, and store the data set.

    Tables: csv, parquet, jsonl, atomic (RecBole). Exports of other products, which bring items and users with them:
    gorse (JSON Lines of users, items and feedback, or the file of `gorse-cli dump`), metarank (JSON events),
    movielens (ratings.csv and movies.csv, or ratings.dat, movies.dat, users.dat). auto tells them apart.

    A data set holds ratings; 4 and more is a like. Events become ratings by their type: like, star, click, purchase,
    share, ... are 5; dislike, skip, hide are 1; rating is its value; read, view, impression and Metarank's rankings are
    1 and give way to any reaction. A type that no rule names is rejected: give --map.

    Example: metarl-rec import gorse-export/ --map share=5 --map view=ignore
    """
    with friendly_errors(debug):
        from metarl_rec.importing import DEFAULT_COLUMNS, import_interactions
        from metarl_rec.pipeline import import_bundled, store_import

        workspace = Workspace(workdir)
        if source == "ml-100k":
            dataset = import_bundled(workspace)
        else:
            columns = {"user": user_column, "item": item_column, "rating": rating_column, "timestamp": timestamp_column}
            with file_progress(Path(source)) as advance:
                dataset, report = import_interactions(
                    Path(source),
                    format=format_,
                    columns=None if columns == DEFAULT_COLUMNS else columns,
                    items=items,
                    users=users,
                    name=name,
                    ratings=map_ or (),
                    progress=advance,
                )
            store_import(workspace, dataset, report)
            _say_what_became_of(report, workspace.dataset / "import.json")
        console.print(
            f"{dataset.name}: {len(dataset.user_ids):,} users, {len(dataset.item_ids):,} items, "
            f"{len(dataset.rating):,} ratings -> {workspace.dataset}"
        )


def _say_what_became_of(report: ImportReport, path: Path) -> None:
    for part in (report.rejected, report.rejected_items, report.rejected_users):
        for each in part[:20]:
            console.print(plain(each), highlight=False, markup=False, soft_wrap=True)
    attributes = len(report.rejected_items) + len(report.rejected_users)
    console.print(
        f"{report.accepted:,} accepted, {report.superseded:,} superseded, {len(report.rejected):,} rejected"
        + (f", {attributes:,} attributes left out" if attributes else "")
        + f" (all of them in {path})"
    )
    for type_, count in report.ignored.items():
        console.print(plain(f"{count:,} events of type {type_} ignored"), highlight=False, markup=False)
    if report.not_read:
        console.print(plain(f"not read: {', '.join(report.not_read)}"), highlight=False, markup=False)


def embed(
    embedding_model: EmbeddingModel = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    config: ConfigFile = None,
    set_: Set = None,
    seed: Seed = None,
    debug: Debug = False,
) -> None:
    """Train item embeddings on meta-train users only, and store them."""
    with friendly_errors(debug):
        from metarl_rec import pipeline

        settings = configuration(config, set_, seed, embedding_model=embedding_model)
        with bar(f"embedding ({settings.embedding.model})", 1) as progress:
            made = pipeline.embed(Workspace(workdir), settings, progress.show)
            progress.finish()
        items, dim = made.whole.shape
        console.print(
            f"{items:,} items x {dim}, and {len(made.folds)} times without a fold's users "
            f"-> {Workspace(workdir).embedding_file}"
        )


def train(
    algorithm: Algorithm = None,
    choose: Choose = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the saved state, bit for bit.")] = False,
    workdir: Workdir = DEFAULT_WORKDIR,
    config: ConfigFile = None,
    set_: Set = None,
    seed: Seed = None,
    debug: Debug = False,
) -> None:
    """Meta-train the initialization, keep what validates best, and store the checkpoint.

    The bar shows the mean reward of validation users over 40 interactions: before (the meta-policy as it is) and after
    (adapting after every interaction). The empirical-Bayes start competes too, so training never ships something worse.
    With --choose the start itself is chosen first, which takes about as long again; quickstart does that. The defaults
    were found on MovieLens.
    """
    with friendly_errors(
        debug, "stopped; `metarl-rec train --resume` with the same settings goes on from the last validation"
    ):
        settings = configuration(config, set_, seed, algorithm=algorithm)
        checkpoint, result = trained(Workspace(workdir), settings, choose=choose, resume=resume)
        console.print(
            f"policy {checkpoint.version}: validation reward {result.best.before:.2f} before adaptation, "
            f"{result.best.after:.2f} after (update {result.best_iteration}; the start had {result.start.after:.2f}), "
            f"{100 * result.best.harm:.0f} % of {len(result.best.rewards)} people who judge have less than without it "
            f"-> {Workspace(workdir).checkpoint}"
        )


def tune(
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of earlier calls included.")] = 60,
    minutes: Annotated[float, typer.Option(min=0.01, help="Stop after this long; the running trial is finished.")] = 10,
    workdir: Workdir = DEFAULT_WORKDIR,
    config: ConfigFile = None,
    set_: Set = None,
    seed: Seed = None,
    debug: Debug = False,
) -> None:
    """Search the prior's and the inner loop's settings on validation and cross-fitted train users, within a budget.

    Searched: prior.shrinkage (0.1 to 0.8), prior.item_attribute_scale (0 to 0.4), prior.attribute_gain (0 to 2),
    prior.user_ridge (5 to 100), inner.temperature (0.002 to 0.05), inner.policy_coef (1e-06 to 0.001), and the first
    two entries of inner.value_weight through the residual variances of answers without and with a reward (each 0.08 to
    0.5). All else stays as configured. A trial is judged by the mean reward over 40 interactions of the start before
    meta-training, sampled as it is served.

    Test users are not looked at. Trials are kept: the same call goes on where it stopped. The best settings are written
    as TOML; use them with `metarl-rec train --config metarl-data/tuning/best.toml`.
    """
    with friendly_errors(debug, "stopped; the same command goes on after the trials that are finished"):
        from metarl_rec.tuning import tune as search
        from metarl_rec.tuning import write_settings

        workspace = Workspace(workdir)
        settings = configuration(config, set_, seed)
        with bar("tuning", trials) as progress:
            found = search(
                workspace,
                settings,
                trials=trials,
                minutes=minutes,
                on_trial=lambda done, last, best: progress.show(
                    done, note=f"last {'failed' if last is None else f'{last:.2f}'}, best {best:.2f}"
                ),
            )
        path = workspace.tuning / "best.toml"
        write_settings(path, found.best)
        console.print(
            f"{len(found.trials)} trials on {found.people} people: reward {found.start:.2f} as configured, "
            f"{found.reward:.2f} at best ({found.difference:+.2f} ± {found.standard_error:.2f}, paired; the best of "
            "many flatters itself by about its error)"
        )
        if found.failed:
            number, why = found.failed[-1]
            line = f"{len(found.failed)} more could not be played; the last, number {number}: {why}"
            console.print(plain(line), highlight=False, markup=False, soft_wrap=True)
        for name, value in sorted(found.best.items()):
            console.print(f"  {name} = {value}", highlight=False)
        if not found.best:
            console.print("  nothing beat the settings as configured")
        console.print(f"settings: {path}", soft_wrap=True)


def evaluate(
    protocol: Annotated[
        Literal[
            "cold-start",
            "drift",
            "real-drift",
            "cold-items",
            "signals",
            "conditions",
            "ablation",
            "metarec",
            "bandit",
            "mdp",
            "sine",
        ]
        | None,
        typer.Option(help="Train and judge anew on a protocol's own data and tasks; without it, judge the checkpoint."),
    ] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    set_: ProtocolSet = None,
    seed: Seed = None,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that share a protocol's splits or worlds, and the cores.")
    ] = 1,
    debug: Debug = False,
) -> None:
    """Play held-out users with the meta-policy and its baselines; or reproduce a protocol's tables from nothing.

    Without --protocol the stored checkpoint plays its split's held-out users: table, JSON with raw results, a curve.

    cold-start: the full catalogue over 20 splits of the work directory's users, all baselines, each split trained anew.
    drift: worlds that move. real-drift: real ratings in time order. cold-items: items known by attributes alone.
    signals: non-clicks and warm-up. conditions: slates of ten, late and missing answers. ablation: one part changed at
    a time. metarec: RecBole-MetaRec's ranking protocol. bandit, mdp: the task distributions of RL^2. sine: few-shot
    regression. Each writes report.html, report.json (raw results), curves.png.

    Finished splits and worlds are kept: a stopped run goes on. With --processes they are made side by side, as many as
    there are cores and memory for; bandit, mdp, sine and metarec have none to share.
    """
    with friendly_errors(debug, "stopped; the same command goes on where parts were finished"):
        from metarl_rec import pipeline
        from metarl_rec.errors import ConfigError
        from metarl_rec.protocol import CORE_POLICIES

        workspace = Workspace(workdir)
        if protocol is not None:
            _protocol(workspace, protocol, set_ or [], seed, processes)
            return
        if set_ or seed is not None or processes > 1:
            raise ConfigError(
                "a stored checkpoint is judged under its own settings; --set, --seed and --processes need --protocol"
            )
        with bar("evaluation", len(CORE_POLICIES)) as progress:
            episodes = pipeline.evaluate_checkpoint(workspace, progress.advance)
        show_report(workspace, episodes)


def _protocol(workspace: Workspace, name: str, assignments: list[str], seed: int | None, processes: int) -> None:
    from metarl_rec.protocols.registry import run_protocol
    from metarl_rec.protocols.sharing import make_parts
    from metarl_rec.protocols.terminal import bars_table, shown
    from metarl_rec.protocols.writing import write_report
    from metarl_rec.provenance import machine

    # Before the run: a commit made while it goes on is not what ran.
    where = machine()
    with bar(name, 1) as progress:

        def watch(note: str, done: int, total: int) -> None:
            progress.show(done, total, note=note)

        if processes > 1:
            failed = make_parts(processes, name, workspace, assignments, seed, watch)
            if failed:
                codes = ", ".join(map(str, failed))
                console.print(f"{len(failed)} of {processes} processes failed (exit code {codes}); this one goes on")
        result = run_protocol(name, workspace, assignments, seed, watch)
    for table in result.tables:
        console.print(shown(table))
    if result.bars:
        console.print(bars_table(result.bars))
    for sentence in result.verdict:
        console.print(f"- {sentence}")
    page = write_report(result, workspace.evaluation / name, where)
    console.print(f"report: {page}", soft_wrap=True)


def inspect(workdir: Workdir = DEFAULT_WORKDIR, debug: Debug = False) -> None:
    """Verify the stored checkpoint and say what it is: version, shapes, inner-loop settings, lineage, metrics."""
    with friendly_errors(debug):
        from metarl_rec.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(Workspace(workdir).checkpoint)
        console.print(f"policy version   {checkpoint.version}")
        digest = checkpoint.lineage.get("catalogue", {}).get("digest", "unknown")[:16]
        console.print(f"catalogue        {len(checkpoint.items):,} items, {checkpoint.dim} features, digest {digest}")
        console.print(f"item attributes  {', '.join(checkpoint.item_attributes.names) or 'none'}")
        console.print(f"user attributes  {', '.join(checkpoint.user_attributes.names) or 'none'}")
        console.print("inner loop", checkpoint.inner.model_dump(mode="json"))
        console.print("lineage", dict(checkpoint.lineage))
        console.print("metrics", dict(checkpoint.metrics))


def show_report(workspace: Workspace, episodes: Episodes) -> None:
    """Prints both tables and where the files are."""
    from metarl_rec.report import comparison_table, hits_table

    console.print(hits_table(episodes))
    console.print(comparison_table(episodes))
    # Not wrapped: a path that is broken over two lines cannot be copied.
    console.print(f"report: {workspace.report}   curve: {workspace.evaluation / 'curve.png'}", soft_wrap=True)
