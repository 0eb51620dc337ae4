"""The batched environment: N users side by side, one slate each a step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simulator.checks import at_least, users_of
from simulator.choice import ChoiceModel, Independent
from simulator.dynamics import Dynamics
from simulator.errors import SimulatorError
from simulator.grades import DwellTime, StarRating
from simulator.population import CERTAIN, Population
from simulator.randomness import normals, uniforms
from simulator.types import Observation, Response
from simulator.visits import Visits

__all__ = ["BatchEnv", "returns_to_go"]


class BatchEnv:
    """Plays users of a population; an item is never shown twice to a user, unless `repeats`.

    Two forms. In "bandit" every step is an episode of its own: every step ends `terminated`, and nothing is discounted;
    the user and what was shown go on. In "session", `horizon` steps make an episode whose rewards are discounted; an
    end by the horizon is `truncated`, because the user would have gone on; an end because the user left, because their
    lifetime is over or because fewer than k candidates are left is `terminated`. After either end the user goes on with
    a new session, as long as they come back and there are candidates.

    All randomness is keyed by (seed, user, step or item, purpose): a batch draws what single users draw, and nothing
    that one user does changes another's draws. Whether a user likes an item is one draw keyed by the item, so it does
    not depend on when, at which position or after what the item is shown; with `repeats` it is keyed by the step too.

    Args:
        population: whom to play.
        users: [N] int64, users of the population.
        form: "bandit" or "session".
        horizon: steps in a session, >= 1.
        discount: gamma in [0, 1); 0 in a bandit.
        slate_size: items k in a slate, >= 1.
        choice: what a user does with a slate; every position by itself when absent.
        dynamics: what changes while a user is played; nothing when absent.
        stars: star ratings of what is shown, beside clicks.
        dwell: dwell times of what is clicked.
        repeats: an item may be shown again, and is answered anew.
        seed: decides every answer.
    """

    def __init__(
        self,
        population: Population,
        users: Tensor,
        *,
        form: Literal["bandit", "session"] = "bandit",
        horizon: int,
        discount: float = 0.0,
        slate_size: int = 1,
        choice: ChoiceModel | None = None,
        dynamics: Dynamics | None = None,
        stars: StarRating | None = None,
        dwell: DwellTime | None = None,
        repeats: bool = False,
        seed: int,
    ) -> None:
        if form not in ("bandit", "session"):
            raise SimulatorError(f"form {form!r} must be bandit or session")
        at_least("horizon", horizon, 1)
        at_least("slate_size", slate_size, 1)
        if slate_size > population.n_items:
            raise SimulatorError(f"slate_size is {slate_size}; the population has only {population.n_items} items")
        if not 0 <= discount < 1:
            raise SimulatorError(f"discount {discount} must lie in 0..1, 1 excluded")
        if form == "bandit" and discount != 0:
            raise SimulatorError(f"discount {discount} must be 0 in a bandit; use form session")
        users_of(users, population.n_users)
        self.discount = discount
        self._population = population
        self._session = form == "session"
        self._horizon = horizon
        self._slate_size = slate_size
        self._choice = choice or Independent()
        self._dynamics = dynamics or Dynamics()
        self._stars, self._dwell = stars, dwell
        self._repeats = repeats
        self._seed = seed
        self._check_dynamics()
        self._begin(users.to(population.device).clone())

    def _check_dynamics(self) -> None:
        dynamics, population = self._dynamics, self._population
        topics = dynamics.topics
        if topics is not None and len(topics.weights) != population.n_items:
            raise SimulatorError(
                f"topics has {len(topics.weights)} items, the population {population.n_items}; give one row an item"
            )
        if dynamics.leaving is not None and not self._session:
            raise SimulatorError("leaving needs form session: in a bandit every step is an episode of its own")
        moving = dynamics.drift is not None or dynamics.satiation is not None
        if moving and population.tastes(torch.zeros(1, dtype=torch.int64, device=population.device)).shape[1] == 0:
            raise SimulatorError(
                "drift and satiation need a population with tastes; use LatentFactorUsers or FactorUsers"
            )

    def _begin(self, users: Tensor) -> None:
        self._users = users
        self._tastes = self._population.tastes(users)
        self._open = self._population.candidates(users)
        self._left = self._open.sum(dim=1)
        self._step = 0
        lifetimes = self._population.activity(users) if self._dynamics.lifetimes else None
        self._visits = Visits.begin(users, self._dynamics, lifetimes)
        self._visits.absent |= self._left < self._slate_size

    @property
    def slate_size(self) -> int:
        """Items k in a slate."""
        return self._slate_size

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self._population.n_items

    @property
    def device(self) -> torch.device:
        """Where it computes; slates are expected there."""
        return self._population.device

    @property
    def candidates(self) -> Tensor:
        """What may be shown to each user now [N, n] bool; a view that the next step changes."""
        return self._open

    @property
    def present(self) -> Tensor:
        """Who is there to be shown something next [N] bool."""
        return ~self._visits.absent

    def reset(self, users: Tensor | None = None) -> Observation:
        """Returns every user to the beginning; the answers stay the same.

        Args:
            users: [N] int64, other users to play from now on.
        """
        if users is not None:
            users_of(users, self._population.n_users)
        self._begin(self._users if users is None else users.to(self._population.device).clone())
        return self._observation()

    def replace(self, rows: Tensor, users: Tensor) -> Observation:
        """Puts new users at their beginning in place of others, as a vectorized environment does at an episode's end.

        Args:
            rows: [M] int64, which of the N places.
            users: [M] int64, who takes them.
        """
        users_of(users, self._population.n_users)
        users = users.to(self._population.device)
        self._users[rows] = users
        self._tastes[rows] = self._population.tastes(users)
        self._open[rows] = self._population.candidates(users)
        self._left[rows] = self._open[rows].sum(dim=1)
        self._visits.replace(rows, users, self._population.activity(users) if self._dynamics.lifetimes else None)
        self._visits.absent[rows] |= self._left[rows] < self._slate_size
        return self._observation()

    def utilities(self, items: Tensor | None = None) -> Tensor:
        """Returns the logits [N, k] (of all items without `items` [N, k]) with which users would answer now."""
        return self._visits.satiated(self._population.utilities(self._users, self._tastes, items), items)

    def reward_probabilities(self) -> Tensor:
        """Returns P(like) [N, n] of every item now, as it would be answered if it were shown alone."""
        return torch.sigmoid(self.utilities())

    def step(self, slates: Tensor) -> tuple[Observation, Response]:
        """Shows one slate a user and returns what may be shown next, and the answers.

        Args:
            slates: [N, k] int64, distinct candidates of each user who is present, or -1 for a position that shows
                nothing; rows of others are ignored.

        Raises:
            SimulatorError: a slate has the wrong shape, or holds an item that is not a candidate.
        """
        blank = slates < 0 if bool((slates < 0).any()) else None
        items = slates if blank is None else slates.clamp_min(0)
        self._check_slates(slates, items, blank)
        present = ~self._visits.absent
        utilities = self.utilities(items)
        if blank is not None:
            utilities = utilities.masked_fill(blank, -CERTAIN)
        clicks, stars, dwell = self._answers(items, utilities, present)
        shown = present.unsqueeze(1).expand_as(slates)
        if blank is not None:
            shown = shown & ~blank
            clicks = clicks & ~blank
            # Blank positions stand on item 0; only what is shown may close it.
            if not self._repeats:
                closing = torch.zeros_like(self._open, dtype=torch.int8).scatter_add_(1, items, shown.to(torch.int8))
                self._open &= closing == 0
        elif not self._repeats:
            self._open.scatter_(1, items, self._open.gather(1, items) & ~shown)
        if not self._repeats:
            self._left -= shown.sum(dim=1)
        delays = self._delays()
        terminated, truncated = self._advance(items, blank, clicks, present)
        self._step += 1
        response = Response(clicks.to(torch.float32), terminated, truncated, present, utilities, delays, stars, dwell)
        return self._observation(), response

    def _observation(self) -> Observation:
        return Observation(self._open, ~self._visits.absent, self._visits.session_step, self._step)

    def _check_slates(self, slates: Tensor, items: Tensor, blank: Tensor | None) -> None:
        if slates.shape != (len(self._users), self._slate_size):
            raise SimulatorError(
                f"slates {tuple(slates.shape)} must be {(len(self._users), self._slate_size)}: one row a user"
            )
        if int(slates.min()) < -1 or int(slates.max()) >= self.n_items:
            raise SimulatorError(f"slates must hold item numbers 0..{self.n_items - 1}, or -1 for nothing")
        open_ = self._open.gather(1, items)
        if blank is not None:
            open_ = open_ | blank
        wrong = ~open_.all(dim=1)
        if self._slate_size > 1:
            ordered = slates.sort(dim=1).values
            wrong |= ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(dim=1)
        if bool((wrong & ~self._visits.absent).any()):
            raise SimulatorError("a slate holds an item twice, or one that is not a candidate of its user any more")

    def _answers(
        self, slates: Tensor, utilities: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        user, step = self._users.unsqueeze(1), self._visits.step.unsqueeze(1)
        keys = (user, slates, step) if self._repeats else (user, slates)
        attraction = uniforms(self._seed, "response", *keys)
        if isinstance(self._choice, Independent):
            examination = attraction
        else:
            positions = torch.arange(self._slate_size, device=slates.device)
            examination = uniforms(self._seed, "examination", user, step, positions)
        wide = utilities.to(torch.float64)
        clicks = self._choice.sample(wide, attraction, examination) & present.unsqueeze(1)
        stars = self._stars.sample(wide, attraction) * present.unsqueeze(1) if self._stars else None
        dwell = None
        if self._dwell:
            dwell = self._dwell.sample(wide, normals(self._seed, "dwell", *keys), clicks)
        return clicks, stars, dwell

    def _delays(self) -> Tensor:
        loss = self._dynamics.feedback
        if loss is None:
            return torch.zeros_like(self._users)
        return loss.delays(self._users, self._visits.step, self._seed)

    def _advance(self, items: Tensor, blank: Tensor | None, clicks: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Moves every user on by one step and returns which episodes terminated and which were truncated [N] bool."""
        visits = self._visits
        if self._dynamics.drift is not None:
            self._tastes = self._dynamics.drift.move(self._tastes, self._users, visits.step, self._seed)
        exhausted = self._left < self._slate_size if not self._repeats else torch.zeros_like(present)
        shown = visits.topics_of(items, blank)
        if not self._session:
            visits.advance_bandit(shown, exhausted, present)
            return present.clone(), torch.zeros_like(present)
        return visits.advance_session(shown, clicks, exhausted, present, horizon=self._horizon, seed=self._seed)


def returns_to_go(rewards: Tensor, ends: Tensor, discount: float) -> Tensor:
    """Returns discounted sums of rewards to the end of each episode, [N, T].

    Args:
        rewards: [N, T] float, a slate's rewards summed.
        ends: [N, T] bool, whether the episode ended with that step, terminated or truncated.
        discount: gamma in [0, 1].

    Reference: Sutton & Barto, "Reinforcement Learning: An Introduction", 2018, eq. 3.9.
    """
    out = torch.empty_like(rewards)
    following = torch.zeros_like(rewards[:, 0])
    for step in reversed(range(rewards.shape[1])):
        following = rewards[:, step] + discount * torch.where(ends[:, step], torch.zeros_like(following), following)
        out[:, step] = following
    return out
