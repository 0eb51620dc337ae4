"""The cold-start protocol on a small world: same figures again, splits kept, bars that follow from the rewards."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

from metarl_rec import dataset_store
from metarl_rec.choosing import DEFAULTS_SEEN, Choices
from metarl_rec.errors import ConfigError
from metarl_rec.protocol import ADAPTED, PUBLISHED_FORMS
from metarl_rec.protocols import cold_start
from metarl_rec.protocols.cold_start_report import episodes_of, report
from metarl_rec.protocols.limits import HARM, STRETCH, remarked
from metarl_rec.protocols.registry import PROTOCOLS, run_protocol
from metarl_rec.protocols.result import Bar
from metarl_rec.statistics import compare
from metarl_rec.workspace import Workspace
from service.commands.offline import evaluate
from tests.unit.synthetic import small_config, small_dataset

POLICIES = (
    "popularity",
    "meta-policy",
    "meta-policy, greedy",
    "HB linear, greedy",
    ADAPTED,
    "adapted, greedy",
    "oracle",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    out = Workspace(tmp_path_factory.mktemp("workspace"))
    dataset_store.save(small_dataset(), out.dataset)
    return out


def settings(splits: int) -> cold_start.Settings:
    few = Choices(item_attribute_scale=(0.1, 0.2), shrinkage=(), attribute_gain=(), noises=())
    run = small_config(iterations=2, evaluate_every=2)
    return cold_start.Settings(splits=splits, policies=POLICIES, choose=few, run=run)


def test_run_two_splits_reports_every_policy_and_reads_finished_splits_again(workspace: Workspace) -> None:
    seen: list[str] = []
    first = cold_start.run(settings(1), workspace, lambda note, *_: seen.append(note))
    parts = workspace.evaluation / "cold-start" / "parts"
    (part,) = parts.iterdir()
    before = part.stat().st_mtime_ns
    both = cold_start.run(settings(2), workspace, lambda *_: None)
    assert part.stat().st_mtime_ns == before, "a finished split was played again"
    assert len(list(parts.iterdir())) == 2
    assert both.raw["splits"][0] == first.raw["splits"][0]
    assert [row[0] for row in both.tables[0].rows] == list(POLICIES)
    assert any("split 0" in note for note in seen)
    effects = [part["effects"][ADAPTED] for part in both.raw["splits"]]
    kl = np.concatenate([effect["kl_nats"] for effect in effects])
    did = next(table for table in both.tables if table.title == "What the adaptation did")
    assert [row[0] for row in did.rows] == [ADAPTED, "adapted, greedy"]
    assert did.rows[0][3].startswith(f"{kl.mean():.1f} ")
    assert did.rows[1][1:3] == ("0.0", "-")
    harmed = next(bar for bar in both.bars if bar.name == "harmed at 40, sampled")
    share = compare(episodes_of(both.raw["splits"]), ADAPTED, "meta-policy").harmed[40]
    assert harmed.reached == (share <= 0.15)
    whom = next(table for table in both.tables if table.title == "Whom each policy harms")
    hits = {name: rewards.sum(axis=1) for name, rewards in episodes_of(both.raw["splits"]).rewards.items()}
    shares = {name: (hits[name] < hits["meta-policy, greedy"]).mean() for name in hits}
    found = {row[0]: row[1] for row in whom.rows}
    assert {name: float(text.split()[0]) for name, text in found.items()} == {
        name: pytest.approx(100 * shares[name], abs=0.051) for name in found
    }
    assert set(POLICIES) - set(found) == {"meta-policy, greedy", "oracle"}


def test_run_the_same_split_again_gives_the_same_rewards(workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path)
    dataset_store.save(small_dataset(), other.dataset)
    first, second = (cold_start.run(settings(1), each, lambda *_: None) for each in (workspace, other))
    assert first.raw == second.raw


def test_episodes_of_oracle_always_hits_while_there_are_hits(workspace: Workspace) -> None:
    played = cold_start.run(settings(1), workspace, lambda *_: None).raw["splits"]
    episodes = episodes_of(played)
    assert (episodes.rewards["oracle"][:, :8] == 1).all()
    assert np.isin(episodes.rewards[ADAPTED], (0, 1)).all()


@pytest.mark.parametrize(
    ("name", "assignments", "seed", "named"),
    [
        ("nonsense", [], None, "nonsense"),
        ("cold-start", ["splits=0"], None, "splits"),
        ("cold-start", ["run.prior.shrinkage=-1"], None, "run.prior.shrinkage"),
        ("cold-start", ['policies=["best"]'], None, "no such policy: best; choose from random"),
        ("cold-start", ['policies=["oracle"]'], None, "besides"),
        ("cold-start", ["policies=[]"], None, "besides"),
        ("cold-start", ["run.seed=5"], None, "set splits instead"),
        ("cold-start", ["run.prior.shrinkage=0.25"], None, "set choose.shrinkage to a list"),
        ("conditions", ["run.inner.value_weight=[2,0,0,0]"], None, "run.inner.value_weight is chosen in every split"),
        ("cold-start", [], 3, "--seed"),
        ("drift", ["stops=3"], None, "stops"),
    ],
)
def test_run_protocol_bad_settings_are_named(
    workspace: Workspace, name: str, assignments: list[str], seed: int | None, named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        run_protocol(name, workspace, assignments, seed)


def test_evaluate_offers_every_protocol_there_is() -> None:
    offered = get_type_hints(evaluate, include_extras=True)["protocol"]
    literal, _ = get_args(get_args(offered)[0])
    assert set(get_args(literal)) == set(PROTOCOLS)


def test_verdict_says_how_many_splits_shipped_the_start(workspace: Workspace) -> None:
    result = cold_start.run(settings(1), workspace, lambda *_: None)
    start = result.raw["splits"][0]["best_iteration"] == 0
    assert f"Of 1 splits {int(start)} shipped the empirical-Bayes start" in result.verdict[-2]
    scale = result.raw["splits"][0]["chosen"]["item_attribute_scale"]
    assert f"Chosen within 1 splits, and how often: item_attribute_scale {scale} (1)" in result.verdict[-1]


def test_forms_known_from_elsewhere_play_where_they_are_named_and_fixed_settings_are_said_to_have_been_seen(
    workspace: Workspace,
) -> None:
    fixed = Choices(item_attribute_scale=(), shrinkage=(), attribute_gain=(), noises=())
    names = ("HB linear, greedy", *PUBLISHED_FORMS)
    run = small_config(iterations=0)
    result = cold_start.run(
        cold_start.Settings(splits=1, policies=names, choose=fixed, run=run), workspace, lambda *_: None
    )
    rewards = episodes_of(result.raw["splits"]).rewards
    assert tuple(rewards) == names
    assert all((rewards[name] != rewards["HB linear, greedy"]).any() for name in PUBLISHED_FORMS)
    assert DEFAULTS_SEEN in result.tested
    assert not any(line.startswith("Chosen within") for line in result.verdict)


@pytest.mark.parametrize(
    ("name", "min_positives", "shown"), [("ml-1m-cold", 50, True), ("ml-1m-cold", 20, False), ("ml-100k", 50, False)]
)
def test_report_shows_printed_rows_beside_the_people_they_are_about(
    workspace: Workspace, name: str, min_positives: int, shown: bool
) -> None:
    asked = settings(1)
    (part,) = cold_start.run(asked, workspace, lambda *_: None).raw["splits"]
    played = [{**part, "dataset": {**part["dataset"], "name": name}}]
    run = asked.run.model_copy(update={"min_positives": min_positives, "min_ratings": 0, "threshold": 4.0})
    titles = [table.title for table in report(run, asked.model_dump(mode="json"), played).tables]
    assert any("NICF" in title for title in titles) == shown


def test_bar_that_is_not_reached_says_what_was_tried() -> None:
    missed, other, reached = remarked(
        [Bar(f"{HARM}, greedy", "<= 15 %", "16 %", False), Bar("other", "1", "0", False), Bar(STRETCH, "", "", True)]
    )
    assert "harmed" in missed.remark
    assert (other.remark, reached.remark) == ("", "")
