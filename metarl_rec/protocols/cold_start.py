"""Cold start on real people: the full-catalogue protocol over many splits, every baseline on the same users."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.choosing import ChoosingSettings, choices_of, chosen_problem
from metarl_rec.config import RunConfig, decided, names_of
from metarl_rec.evaluate import evaluate_lineup
from metarl_rec.lineup import Lineup
from metarl_rec.policies import OnlinePolicy
from metarl_rec.protocol import POLICIES, PUBLISHED_FORMS
from metarl_rec.protocols.cold_start_report import report
from metarl_rec.protocols.parts import kept_splits
from metarl_rec.protocols.result import ProtocolResult, Watch
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train
from metarl_rec.workspace import Workspace

__all__ = ["Settings", "run"]


def _somebody(policies: tuple[str, ...]) -> tuple[str, ...]:
    if set(policies) <= {"oracle"}:
        raise ValueError("nobody but the oracle plays; name at least one policy besides")
    return policies


class Settings(ChoosingSettings):
    """The protocol's settings, beside what its splits choose.

    Attributes:
        splits: splits 0 .. splits - 1 of the users are played; each is trained anew.
        policies: what to play.
        run: settings of the training; its seed is the split's number.
    """

    splits: int = Field(default=20, ge=1, le=1000)
    policies: Annotated[
        tuple[str, ...], AfterValidator(names_of("policy", (*POLICIES, *PUBLISHED_FORMS))), AfterValidator(_somebody)
    ] = POLICIES
    run: Annotated[RunConfig, AfterValidator(decided({"seed": "splits"}))] = RunConfig()


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; a split that was played before with the same settings and data is read, not played again."""
    share_cores()
    asked = [settings.policies, settings.choose.model_dump(mode="json")]
    make = partial(_part, settings, workspace)
    played = kept_splits("cold-start", workspace, settings.run, settings.splits, asked, make, watch)
    return report(settings.run, settings.model_dump(mode="json"), played)


def _part(settings: Settings, workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    problem, chosen = chosen_problem(workspace, config, settings.choose)
    dataset = problem.dataset
    result = meta_train(problem, chosen)
    lineup = Lineup(problem, result.meta, chosen)
    effects: dict[str, dict[str, list[float]]] = {}

    def note(name: str, policy: OnlinePolicy) -> None:
        if isinstance(policy, AdaptedPolicy):
            effects[name] = policy.effect()

    rewards = evaluate_lineup(lineup, settings.policies, on_played=note)
    return {
        "dataset": {"name": dataset.name, "digest": dataset.digest, "users": len(dataset.user_ids)},
        "items": len(dataset.item_ids),
        "split": config.seed,
        "users": [dataset.user_ids[user] for user in problem.split.test],
        "rewards": {name: [_digits(row) for row in rows] for name, rows in rewards.items()},
        "effects": effects,
        "baselines": lineup.choices(),
        "best_iteration": result.best_iteration,
        "validation_history": result.history,
        "inner": result.meta.inner_params(chosen.inner).model_dump(mode="json"),
        "chosen": choices_of(chosen),
    }


def _digits(rewards: NDArray[np.float32]) -> str:
    """Returns forty rewards of 0 or 1 as forty digits."""
    return "".join("1" if reward > 0 else "0" for reward in rewards)
