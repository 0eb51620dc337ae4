"""From nothing to a running service: every stage once, cached, then the three calls to try."""

from __future__ import annotations

import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated

import typer

from metarl_rec.checkpoint import load_checkpoint
from metarl_rec.errors import MetarlError
from metarl_rec.report import read_json
from metarl_rec.statistics import Episodes
from metarl_rec.workspace import Workspace, stamp_matches, write_stamp
from service.commands.offline import DEFAULT_WORKDIR, show_report
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
from service.commands.serve import Host, Port, run_service
from service.commands.training import Choose, trained

if TYPE_CHECKING:
    from metarl_rec.config import RunConfig

__all__ = ["quickstart"]


def quickstart(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Start the service at the end.")] = True,
    choose: Choose = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make everything anew, cached or not.")] = False,
    algorithm: Algorithm = None,
    embedding_model: EmbeddingModel = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workdir: Workdir = DEFAULT_WORKDIR,
    config: ConfigFile = None,
    set_: Set = None,
    seed: Seed = None,
    debug: Debug = False,
) -> None:
    """Real ratings to a service that adapts to each new user: import, embed, train, evaluate, serve.

    Uses ml-100k, which RecBole's wheel ships, so nothing is downloaded. Takes a few minutes once; a second start finds
    the artifacts in the work directory and is ready in seconds.
    """
    from service.server import check_address

    with friendly_errors(debug):
        if serve:
            # Before anything slow, and before the calls to try are announced.
            check_address(host, port)
        workspace = Workspace(workdir)
        settings = configuration(config, set_, seed, algorithm=algorithm, embedding_model=embedding_model)
        if fresh or not _is_complete(workspace, settings, choose):
            _make(workspace, settings, choose)
        else:
            console.print(f"using the artifacts in {workdir} (--fresh makes them anew)")
            show_report(workspace, read_json(workspace.report))
        if serve:
            threading.Thread(target=_announce, args=(host, port), daemon=True).start()
            run_service(workspace, host, port)


def _stamp(settings: RunConfig, choose: bool) -> str:
    return json.dumps({"settings": settings.model_dump(mode="json"), "choose": choose})


def _is_complete(workspace: Workspace, settings: RunConfig, choose: bool) -> bool:
    if not stamp_matches(workspace, _stamp(settings, choose)):
        return False
    try:
        load_checkpoint(workspace.checkpoint)
        read_json(workspace.report)
    except MetarlError as error:
        console.print(f"[yellow]cached artifacts cannot be used:[/] {error}", highlight=False)
        return False
    return True


def _make(workspace: Workspace, settings: RunConfig, choose: bool) -> None:
    """Runs stages 1 to 5; the stamp comes last, so an interrupted run counts as none."""
    console.print("loading the trainer (torch, RecBole) ...")
    from metarl_rec import pipeline
    from metarl_rec.preparing import prepared
    from metarl_rec.protocol import CORE_POLICIES

    workspace.stamp.unlink(missing_ok=True)
    started = time.monotonic()
    dataset = pipeline.import_bundled(workspace)
    _, split = prepared(workspace, settings)
    console.print(
        f"[bold]1[/] {dataset.name}: {len(dataset.user_ids)} users, {len(dataset.item_ids):,} items, "
        f"{len(dataset.rating):,} ratings; users with at least {settings.min_positives} positives: "
        f"{len(split.train)} meta-train, {len(split.validation)} meta-validation, {len(split.test)} meta-test"
    )
    with bar(f"[bold]2[/] item embeddings ({settings.embedding.model})", 1) as progress:
        pipeline.embed(workspace, settings, progress.show)
        progress.finish()
    console.print("[bold]3-4[/] user tasks and meta-training; validation reward before -> after adaptation:")
    checkpoint, result = trained(workspace, settings, choose=choose, indent="  ")
    console.print(
        f"  policy {checkpoint.version}: "
        f"validation reward {result.best.before:.2f} before, {result.best.after:.2f} after; "
        f"{100 * result.best.harm:.0f} % of {len(result.best.rewards)} people who judge have less than without adapting"
    )
    with bar("[bold]5[/] evaluation on meta-test users", len(CORE_POLICIES)) as progress:
        episodes: Episodes = pipeline.evaluate_checkpoint(workspace, progress.advance)
    show_report(workspace, episodes)
    write_stamp(workspace, _stamp(settings, choose))
    console.print(f"stages 1-5 took {time.monotonic() - started:.0f} s")


def _announce(host: str, port: int) -> None:
    """Prints the calls to try once the service says that it is ready; gives up silently when it never does."""
    base = f"http://{host}:{port}"
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=1) as answer:  # noqa: S310 - always http
                if answer.status == 200:
                    break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    else:
        return
    # A user of this start's own: one of an earlier start would be adapted already.
    user = f"ada-{secrets.token_hex(2)}"
    header = "-H 'content-type: application/json'"
    from service.settings import is_loopback

    if not is_loopback(host):
        header += ' -H "authorization: Bearer $METARL_ADMIN_KEY"'
    recommend, feedback = f"curl -s {base}/v1/recommendations {header}", f"curl -s {base}/v1/feedback {header}"
    # Plain print: a terminal that wraps or colours these lines would break them for pasting.
    print(  # noqa: T201
        f"""
ready on {base} (docs: {base}/docs, metrics: {base}/metrics; stop with Ctrl+C). Paste in another terminal:

{recommend} -d '{{"user_id": "{user}", "k": 5}}'

{feedback} -d '{_likes(user)}'

{recommend} -d '{{"user_id": "{user}", "k": 5, "explain": true}}'
""",
        flush=True,
    )


def _likes(user: str) -> str:
    events = ", ".join(
        f'{{"event_id": "{number}", "user_id": "{user}", "item_id": "{item}", "type": "like"}}'
        for number, item in enumerate(("50", "172", "181"), start=1)
    )
    return f'{{"events": [{events}]}}'
