"""Drift of real users' tastes: their own ratings in time order, told to everybody; only forgetting differs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec import dataset_store
from metarl_rec.config import RunConfig, decided
from metarl_rec.errors import DataError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.inner_params import InnerParams
from metarl_rec.preparing import split_problem
from metarl_rec.prequential import Kind, Memory, Timelines, play, timelines
from metarl_rec.problem import Problem
from metarl_rec.protocols.parts import kept_splits
from metarl_rec.protocols.real_drift_report import (
    FORGETTING,
    LATEST,
    OURS,
    POPULARITY,
    STATIONARY,
    UNADAPTED,
    report,
)
from metarl_rec.protocols.result import ProtocolResult, Watch
from metarl_rec.protocols.untrained import UNTRAINED
from metarl_rec.tasks import TaskSpace
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace

__all__ = ["FORGETTING_GRID", "NOISES", "Settings", "genre_cosines", "run"]

FORGETTING_GRID = (0.0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
NOISES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Residual variances to choose from: 1 / weight of the newest rating, for both sides."""
_RUN = RunConfig(min_positives=0, min_ratings=20)
_PLAYED = {"step_sizes", "preconditioner", "value_weight", "organic_weight", "forgetting", "caution"}
"""What of the inner loop is left where nothing is drawn: no ratio, no temperature, no session."""
_DECIDED = {
    "seed": "splits",
    **UNTRAINED,
    **{f"inner.{name}": "" for name in InnerParams.model_fields if name not in _PLAYED},
}


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1 of the users; each is fitted and tuned anew.
        above: only users with more ratings than this are judged, or tune.
        history: ratings that are told before the first item is shown.
        window: how many of the next ratings a hit may lie in.
        buffer: how many ratings the service keeps of a user.
        tuning_users: most users that tune: validation users, then an equal share of every cross-fitting fold.
        run: data, prior and inner-loop settings.
    """

    splits: int = Field(default=20, ge=1, le=1000)
    above: int = Field(default=80, ge=2)
    history: int = Field(default=20, ge=1)
    window: int = Field(default=20, ge=1)
    buffer: int = Field(default=64, ge=1)
    tuning_users: int = Field(default=100, ge=2)
    run: Annotated[RunConfig, AfterValidator(decided(_DECIDED, _RUN))] = _RUN


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings and data are read again.

    Raises:
        DataError: ratings without times, items without a list of categories, or too few users with enough ratings.
    """
    if settings.history >= settings.above:
        raise DataError(
            f"history of {settings.history} leaves nothing to judge; it must be below above={settings.above}"
        )
    share_cores()
    asked = [settings.model_dump(mode="json", exclude={"splits", "run"})]

    def make(config: RunConfig) -> dict[str, Any]:
        return _Trial(split_problem(workspace, config), config, settings).played()

    played = kept_splits("real-drift", workspace, settings.run, settings.splits, asked, make, watch)
    return report(settings.model_dump(mode="json"), dataset_store.load(workspace.dataset).name, played)


class _Trial:
    """One split's contenders, tuned on users whom neither their space nor the judgement knows."""

    def __init__(self, problem: Problem, config: RunConfig, settings: Settings) -> None:
        self._problem, self._config, self._settings = problem, config, settings
        self._counts = np.bincount(problem.dataset.user_index, minlength=len(problem.dataset.user_ids))
        self._tuning = list(self._tuning_groups())
        if not self._tuning:
            raise DataError(
                f"split {config.seed} has no user with more than {settings.above} ratings to tune on; lower `above` or "
                "import more data"
            )
        self._scores: dict[tuple[Kind, float, float], float] = {}

    def played(self) -> dict[str, Any]:
        """Tunes, plays, and returns the hits in every ten ratings of every judged user."""
        problem, settings = self._problem, self._settings
        lines = self._lines(problem.split.test)
        cosines = genre_cosines(lines, problem.topics)
        still, moving = self._best("kalman", FORGETTING_GRID[:1]), self._best("kalman")
        ours = self._best("fading")
        nothing = Memory("none")
        contenders = {
            UNADAPTED: nothing,
            STATIONARY: still,
            FORGETTING: moving,
            LATEST: Memory("served", inner=self._config.inner, buffer=settings.buffer),
            OURS: ours,
        }
        tuned = {name: (contenders[name].noise, contenders[name].forgetting) for name in (STATIONARY, FORGETTING, OURS)}
        hits = {POPULARITY: self._hits(problem.space, lines, nothing, known=False)}
        hits |= {name: self._hits(problem.space, lines, memory) for name, memory in contenders.items()}
        return {
            "split": self._config.seed,
            "users": [
                {
                    "user": problem.dataset.user_ids[user],
                    "judged": int(length) - settings.history,
                    "cosine": round(float(cosines[row]), 6),
                    "hits": {name: _tens(table[row, : length - settings.history]) for name, table in hits.items()},
                }
                for row, (user, length) in enumerate(zip(lines.users, lines.lengths, strict=True))
            ],
            "tuned": tuned,
            "tuning_users": sum(len(group.users) for _, group in self._tuning),
        }

    def _tuning_groups(self) -> Iterator[tuple[TaskSpace, Timelines]]:
        """Yields users and a space that was fitted without them."""
        problem, most = self._problem, self._settings.tuning_users
        validation = self._enough(problem.split.validation)[:most]
        if len(validation):
            yield problem.space, self._lines(validation)
        share = -(-(most - len(validation)) // len(problem.folds))
        for space, users in problem.folds:
            if len(some := self._enough(users)[:share]):
                yield space, self._lines(some)

    def _enough(self, users: NDArray[np.int64]) -> NDArray[np.int64]:
        return users[self._counts[users] > self._settings.above]

    def _lines(self, users: NDArray[np.int64]) -> Timelines:
        return timelines(self._problem.dataset, self._enough(users), self._config.threshold)

    def _starts(self, space: TaskSpace, users: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors = self._problem.user_vectors[users]
        return space.prior_means(vectors, self._config.prior.attribute_gain)

    def _hits(self, space: TaskSpace, lines: Timelines, memory: Memory, *, known: bool = True) -> NDArray[np.bool_]:
        """Returns `prequential.play`'s hits; `known` is whether user attributes set the start."""
        starts = self._starts(space, lines.users)
        return play(
            lines,
            space.features,
            space.popularity,
            starts if known else np.zeros_like(starts),
            memory,
            history=self._settings.history,
            window=self._settings.window,
        )

    def _best(self, kind: Kind, forgetting: tuple[float, ...] = FORGETTING_GRID) -> Memory:
        """Returns the noise and forgetting with the greatest hit rate of tuning users; ties keep the least of each."""
        choices = [Memory(kind, noise, rate) for noise, rate in product(NOISES, forgetting)]
        return max(choices, key=self._score)

    def _score(self, memory: Memory) -> float:
        # Without forgetting both are the same posterior.
        key = (memory.kind if memory.forgetting else "kalman", memory.noise, memory.forgetting)
        if key not in self._scores:
            asked = Memory(*key)
            rates = [
                self._hits(space, lines, asked).sum(axis=1) / (lines.lengths - self._settings.history)
                for space, lines in self._tuning
            ]
            self._scores[key] = float(np.concatenate(rates).mean())
        return self._scores[key]


def _tens(hits: NDArray[np.bool_]) -> list[int]:
    """Returns the number of hits in every ten positions; the last may have fewer."""
    return [int(hits[first : first + 10].sum()) for first in range(0, len(hits), 10)]


def genre_cosines(lines: Timelines, topics: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """Returns the cosine [N] between the mean topics of the first and the second half of each user's ratings.

    0 where a half has no topic at all; of an odd number the second half has one more.

    Args:
        lines: the users.
        topics: [n, T] float32, or None where the data set has none.

    Raises:
        DataError: there are no topics.
    """
    if topics is None:
        raise DataError(
            "no item attribute is a list of categories, such as genres, so there is no telling whose tastes moved; "
            "import items with a token_seq column"
        )
    out = np.zeros(len(lines.users))
    for row, length in enumerate(lines.lengths):
        halves = [topics[part].mean(axis=0) for part in np.split(lines.items[row, :length], [int(length) // 2])]
        size = np.linalg.norm(halves[0]) * np.linalg.norm(halves[1])
        out[row] = halves[0] @ halves[1] / size if size > 0 else 0.0
    return out
