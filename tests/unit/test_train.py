"""Meta-training end to end on a small world: deterministic, resumable bit for bit, gated by validation."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metarl_rec.baselines import HierarchicalBayesPolicy
from metarl_rec.checkpoint import load_checkpoint, save_checkpoint
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig
from metarl_rec.errors import CheckpointError, ConfigError
from metarl_rec.evaluate import evaluate_lineup
from metarl_rec.export import build_checkpoint, meta_params
from metarl_rec.gate import best_of, worth
from metarl_rec.inner_params import value_weight_of
from metarl_rec.lineup import Lineup
from metarl_rec.meta_params import raw_fatigue_of
from metarl_rec.policies import RandomPolicy
from metarl_rec.populations import TrainingPopulations
from metarl_rec.protocol import ADAPTED, NOISE_GRID, POLICIES
from metarl_rec.train import Progress, TrainResult, meta_train, start_of
from metarl_rec.validate import validate, validate_rivals
from metarl_rec.worlds import PRESETS, WorldConfig
from simulator.env import BatchEnv
from tests.unit.synthetic import small_config, small_problem


class Stopped(Exception):
    """Raised by a progress callback to break a run off."""


def equal_bits(a: TrainResult, b: TrainResult) -> bool:
    tensors = zip(a.meta.tensors().values(), b.meta.tensors().values(), strict=True)
    return a.history == b.history and all(torch.equal(x, y) for x, y in tensors)


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "reptile"])
def test_meta_train_each_algorithm_adaptation_improves_validation_reward(algorithm: str) -> None:
    config = small_config(algorithm=algorithm)
    seen: list[Progress] = []
    problem = small_problem(config)
    result = meta_train(problem, config, on_progress=seen.append)
    assert [state.iteration for state in seen] == list(range(1, 9))
    assert [iteration for iteration, _, _ in result.history] == [0, 4, 8]
    assert all(after > before for _, before, after in result.history)
    assert (result.best_iteration, result.best.before, result.best.after) in result.history
    # The split's validation users judge, and the train users of the last fold of three, whom no update played.
    judges = len(problem.folds[-1][1]) + len(problem.split.validation)
    assert len(result.best.rewards) == len(result.best.harmed) == judges
    assert 0 <= result.best.harm < 0.5


def test_meta_train_same_seed_same_bits_and_other_seed_others() -> None:
    config = small_config()
    problem = small_problem(config)
    first, second = meta_train(problem, config), meta_train(problem, config)
    assert equal_bits(first, second)
    assert not equal_bits(first, meta_train(problem, config.model_copy(update={"seed": 1})))


def test_nobody_whom_the_outer_loop_plays_judges_what_ships() -> None:
    config = small_config(folds=4)
    problem = small_problem(config)
    populations = TrainingPopulations.fit(problem, config)
    played = {int(user) for iteration in range(8) for user in populations.of(iteration).users}
    judging = {int(user) for group in populations.judges() for user in group.users}
    assert not played & judging
    # All train users and validation users choose the start, for which nobody has been played.
    everybody = {*problem.split.train.tolist(), *problem.split.validation.tolist()}
    assert played | judging == {int(user) for group in populations.choosers() for user in group.users} == everybody


def test_without_a_jury_all_folds_are_trained_on_and_validation_users_judge() -> None:
    config = small_config(folds=4, jury_users=0)
    problem = small_problem(config)
    populations = TrainingPopulations.fit(problem, config)
    played = {int(user) for iteration in range(4) for user in populations.of(iteration).users}
    assert played == set(problem.split.train.tolist())
    (alone,) = populations.judges()
    assert alone.users.tolist() == problem.split.validation.tolist()


def test_who_is_drawn_to_choose_does_not_judge() -> None:
    config = small_config(population="latent", world={"drift": {"rate": 0.1}}, validation_users=5)
    populations = TrainingPopulations.fit(small_problem(config), config)
    (choosing,), (judging,) = populations.choosers(), populations.judges()
    users = torch.arange(5)
    drawn = [group.population.reward_probabilities(users) for group in (choosing, judging)]
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(
    ("forgetting", "rates"), [(0.0, [0.0]), (0.5, [0.5, 0.05])], ids=["remembers everything", "forgets"]
)
def test_start_takes_the_noise_and_forgetting_with_which_those_who_choose_do_best(
    forgetting: float, rates: list[float]
) -> None:
    config = small_config(iterations=0, start_noises=(0.02, 0.2, 2.0), start_forgettings=(0.05,))
    # With such noise nothing is learned from anybody: others are better beyond doubt.
    inner = config.inner.model_copy(update={"forgetting": forgetting, "value_weight": value_weight_of(1000.0)})
    config = config.model_copy(update={"inner": inner})
    problem = small_problem(config)
    populations = TrainingPopulations.fit(problem, config)
    given = start_of(problem, config)
    noises = [given.value_weight, *(torch.tensor(value_weight_of(each)) for each in config.train.start_noises)]
    starts = [
        replace(given, value_weight=noise, log_forgetting=torch.tensor(math.log(max(rate, 1e-12))))
        for rate in rates
        for noise in noises
    ]
    means = [worth(each, config.train.harm_cost).mean() for each in validate_rivals(populations, starts)]
    assert max(means) > means[0] + 1
    result = meta_train(problem, config)
    best = starts[int(np.argmax(means))]
    assert torch.equal(result.meta.value_weight, best.value_weight)
    assert torch.equal(result.meta.log_forgetting, best.log_forgetting)
    assert result.start == validate(populations, best)


def where_people_tire(**train: Any) -> RunConfig:
    """Returns settings of a start alone, chosen by two hundred drawn users who soon have enough of a topic."""
    satiation = WorldConfig.model_validate({"satiation": {"strength": 8.0}})
    drawn = {"population": "latent", "form": "session", "session_length": 12, "validation_users": 200}
    return small_config(iterations=0, world=satiation, **drawn, **train)


def test_start_takes_the_fatigue_with_which_those_who_choose_do_best_where_people_tire() -> None:
    config = where_people_tire(start_fatigues=(0.1, 2.0, 0.3))
    tiring = config.model_copy(update={"inner": config.inner.model_copy(update={"fatigue": (0.001, 0.002, 0.001)})})
    problem = small_problem(tiring)
    given = start_of(problem, tiring)
    levels = [(0.001, 0.002, 0.001), *((each,) * 3 for each in config.train.start_fatigues)]
    starts = [replace(given, raw_fatigue=raw_fatigue_of(each)) for each in levels]
    rivals = validate_rivals(TrainingPopulations.fit(problem, tiring), starts)
    best = levels[int(np.argmax([worth(each, config.train.harm_cost).mean() for each in rivals]))]
    assert best != levels[0], "somebody has to be better for this to be a test"
    assert meta_train(problem, tiring).meta.inner_params(tiring.inner).fatigue == pytest.approx(best, rel=1e-4)
    # Where the settings have none, the world's being tiring changes nothing.
    assert meta_train(problem, config).meta.inner_params(config.inner).fatigue == (0.0, 0.0, 0.0)


def test_start_takes_the_noise_that_is_best_with_its_fatigue_not_the_one_that_hides_that_people_tire() -> None:
    config = where_people_tire(start_noises=(0.05, 0.2, 2.0), start_fatigues=(0.3, 2.0))
    noise = value_weight_of(0.4)
    inner = config.inner.model_copy(update={"fatigue": (0.001,) * 3, "value_weight": noise})
    config = config.model_copy(update={"inner": inner})
    problem = small_problem(config)
    given = start_of(problem, config)
    populations = TrainingPopulations.fit(problem, config)
    noises = [noise, *map(value_weight_of, config.train.start_noises)]

    def best_noise(fatigue: float) -> tuple[float, ...]:
        tired = replace(given, raw_fatigue=raw_fatigue_of((fatigue,) * 3))
        rivals = validate_rivals(populations, [replace(tired, value_weight=torch.tensor(each)) for each in noises])
        return noises[best_of([worth(each, config.train.harm_cost) for each in rivals])]

    chosen = meta_train(problem, config).meta
    level = chosen.inner_params(config.inner).fatigue[0]
    assert level > 0.29
    assert best_noise(0.001) != best_noise(level), "the order has to matter for this to be a test"
    assert torch.equal(chosen.value_weight, torch.tensor(best_noise(level)))


def test_start_stays_where_others_are_better_by_luck_at_most() -> None:
    config = small_config(iterations=0, start_noises=(0.15, 0.22, 0.28))
    config = config.model_copy(
        update={"inner": config.inner.model_copy(update={"value_weight": value_weight_of(0.25)})}
    )
    problem = small_problem(config)
    populations = TrainingPopulations.fit(problem, config)
    given = start_of(problem, config)
    rivals = [replace(given, value_weight=torch.tensor(value_weight_of(each))) for each in config.train.start_noises]
    means = [worth(each, config.train.harm_cost).mean() for each in validate_rivals(populations, [given, *rivals])]
    assert max(means) > means[0], "somebody has to be ahead for this to be a test"
    assert torch.equal(meta_train(problem, config).meta.value_weight, given.value_weight)


def test_updates_meet_other_changes_of_taste_than_each_other_and_than_those_who_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []
    made = TrainingPopulations.env

    def noted(self: TrainingPopulations, *args: Any, seed: int) -> BatchEnv:
        seeds.append(seed)
        return made(self, *args, seed=seed)

    monkeypatch.setattr(TrainingPopulations, "env", noted)
    world = WorldConfig.model_validate({"drift": {"rate": 0.1, "jump": 0.3}})
    config = small_config(population="latent", world=world, validation_users=20, start_noises=())
    meta_train(small_problem(config), config)
    times = Counter(seeds)
    # Two policies of three validations meet each of two worlds; every update has one of its own.
    assert sorted(times.values()) == [1] * config.train.iterations + [6] * config.train.validation_repeats


def test_hierarchical_bayes_is_tuned_by_everybody_who_judges_ours() -> None:
    config = small_config(iterations=0)
    problem = small_problem(config)
    lineup = Lineup(problem, start_of(problem, config), config)
    lineup.policy("HB linear, greedy", lineup.unknown(1), RandomPolicy())
    groups = [*problem.folds, (problem.space, problem.split.validation)]

    def reward(noise: float) -> float:
        total = 0.0
        for space, users in groups:
            starts = space.prior_means(problem.user_vectors[users], 1.2)
            policy = HierarchicalBayesPolicy(space.features, space.popularity, starts, noise)
            total += float(cold_start_rewards(problem, policy, users, 0, "evaluate", "tune").sum())
        return total

    assert config.prior.attribute_gain == 1.2
    assert sum(len(users) for _, users in groups) == len(problem.split.train) + len(problem.split.validation)
    assert lineup.choices() == {"HB linear, greedy": max(NOISE_GRID, key=reward)}


def test_meta_train_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = small_config(device="cuda")
    with pytest.raises(ConfigError, match=r"train\.device: this machine has no CUDA device; set it to cpu"):
        meta_train(small_problem(config), config)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "maml"},
        {"algorithm": "reptile"},
        {"form": "session", "population": "latent", "world": WorldConfig.model_validate(PRESETS["everything"])},
    ],
    ids=["maml", "reptile", "sessions"],
)
def test_meta_train_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    changes: dict[str, object], tmp_path: Path
) -> None:
    config = small_config(iterations=12, **changes)
    problem = small_problem(config)
    whole = meta_train(problem, config)

    def stop(state: Progress) -> None:
        if state.iteration == 6:
            raise Stopped

    with pytest.raises(Stopped):
        meta_train(problem, config, state_dir=tmp_path, on_progress=stop)
    iterations: list[int] = []
    resumed = meta_train(
        problem, config, state_dir=tmp_path, resume=True, on_progress=lambda state: iterations.append(state.iteration)
    )
    assert iterations[0] == 5
    assert equal_bits(whole, resumed)


def test_meta_train_resume_refuses_missing_damaged_and_foreign_state(tmp_path: Path) -> None:
    config = small_config(iterations=4)
    problem = small_problem(config)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        meta_train(problem, config, state_dir=tmp_path, resume=True)
    meta_train(problem, config, state_dir=tmp_path)
    other = small_config(iterations=4, learning_rate=0.03)
    with pytest.raises(CheckpointError, match="other settings or data"):
        meta_train(problem, other, state_dir=tmp_path, resume=True)
    content = bytearray((tmp_path / "trainer.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "trainer.safetensors").write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="does not match"):
        meta_train(problem, config, state_dir=tmp_path, resume=True)


@pytest.mark.parametrize("population", ["latent", "mixed"])
@pytest.mark.parametrize("world", ["static", "sessions", "everything"])
def test_meta_train_other_populations_and_worlds_give_finite_parameters(population: str, world: str) -> None:
    moving = world != "static"
    population = "latent" if world == "everything" else population
    config = small_config(
        population=population,
        form="session" if moving else "bandit",
        session_length=4,
        world=WorldConfig.model_validate(PRESETS[world]),
        validation_users=300,
    )
    inner = {"discount": 0.5, "fatigue": (0.02, 0.02, 0.02)} if moving else {}
    config = config.model_copy(update={"inner": config.inner.model_copy(update=inner)})
    result = meta_train(small_problem(config), config)
    assert all(bool(tensor.isfinite().all()) for tensor in result.meta.tensors().values())
    assert any(result.meta.inner_params(config.inner).fatigue) == moving
    # Where users leave out of boredom, adapting may lose to a policy that knows nothing: it shows more of the same.
    assert moving or result.best.after > result.best.before


def test_build_checkpoint_serves_what_was_trained_and_evaluates_the_same(tmp_path: Path) -> None:
    config = small_config()
    problem = small_problem(config)
    result = meta_train(problem, config)
    save_checkpoint(build_checkpoint(problem, result, config), tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    user = int(problem.split.test[0])
    expected = problem.space.starts(
        problem.user_vectors[[user]], result.meta.initialization.numpy(), float(result.meta.attribute_gain)
    )[0]
    found = checkpoint.starting_point(problem.dataset.user_attributes[user])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert checkpoint.inner.kl_limit_nats is not None
    # An item known by its attributes alone gets the taste direction of its genre.
    cold, popularity = checkpoint.encode_item({"genres": ["war"]})
    members = [i for i, item in enumerate(checkpoint.items) if item.attributes["genres"] == ["war"]]
    others = [i for i in range(len(checkpoint.items)) if i not in members]
    assert 0 <= popularity <= 1
    assert (checkpoint.features[members] @ cold).mean() > (checkpoint.features[others] @ cold).mean()


def test_evaluate_lineup_plays_every_policy_and_adaptation_beats_the_unadapted_policy() -> None:
    config = small_config(horizon=12)
    problem = small_problem(config)
    config = config.model_copy(update={"train": config.train.model_copy(update={"iterations": 0})})
    meta = meta_train(problem, config).meta
    rewards = evaluate_lineup(Lineup(problem, meta, config))
    assert tuple(rewards) == POLICIES
    assert all(table.shape == (len(problem.split.test), 40) for table in rewards.values())
    totals = {name: table[:, :20].sum(axis=1).mean() for name, table in rewards.items()}
    assert totals["oracle"] >= max(totals.values())
    assert totals[ADAPTED] > totals["meta-policy"] > totals["random"]
    again = evaluate_lineup(Lineup(problem, meta, config))
    assert all(np.array_equal(rewards[name], again[name]) for name in POLICIES)
    round_trip = meta_params(build_checkpoint(problem, meta_train(problem, config), config), config, problem.space)
    assert torch.allclose(round_trip.step_logits, meta.step_logits, atol=1e-5)


def test_latent_factor_population_resembles_the_users_it_was_fitted_on() -> None:
    config = small_config(population="latent", simulated_users=2000, jury_users=0)
    problem = small_problem(config)
    populations = TrainingPopulations.fit(problem, config)
    for fold, (space, members) in enumerate(problem.folds):
        group = populations.of(fold)
        population = group.population
        assert group.space is space
        assert population.n_users == 2000
        real = problem.rewards[members]
        drawn = population.reward_probabilities(torch.arange(2000)).numpy()
        # Of the fold's own hundred users, so the bars are wide; calibration proper is `metarl-rec calibrate`.
        assert drawn.mean() == pytest.approx(real.mean(), rel=0.15)
        assert drawn.sum(axis=1).std() == pytest.approx(real.sum(axis=1).std(), rel=0.33)
