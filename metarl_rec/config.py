"""Settings of an offline run: frozen, validated, from TOML and `--set a.b=c`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, model_validator

from metarl_rec.errors import ConfigError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.inner_params import MAX_FATIGUE, InnerParams
from metarl_rec.tasks import PriorConfig
from metarl_rec.worlds import WorldConfig

__all__ = [
    "STARTS",
    "EmbeddingConfig",
    "RunConfig",
    "TrainConfig",
    "assigned",
    "decided",
    "load_config",
    "names_of",
    "validated",
]

STARTS = ("start_noises", "start_forgettings", "start_fatigues")
"""Fields of `TrainConfig` that the start is chosen from."""

Settings = TypeVar("Settings", bound=BaseModel)
Name = TypeVar("Name", str, int)


class EmbeddingConfig(FrozenSettings):
    """Where item embeddings come from.

    Attributes:
        model: "svd", or a RecBole general recommender with item embeddings (BPR, LightGCN, SimpleX, ...).
        dim: embedding size.
        epochs: RecBole training epochs; None takes the model's default.
    """

    model: str = "svd"
    dim: int = Field(default=128, ge=1, le=1024)
    epochs: int | None = Field(default=None, ge=1)


class TrainConfig(FrozenSettings):
    """Meta-training.

    Attributes:
        algorithm: maml (exact second order), fomaml, reptile, or joint (one policy for everybody, no inner loop).
        iterations: outer updates.
        learning_rate: Adam's, decaying to a tenth by a cosine; maml and fomaml. With 0 the scalars stay as they are.
        initialization_rate: Adam's for the initialization, with the same decay: its D coordinates are easily
            over-fitted on a few hundred users, the dozen scalars are not.
        reptile_rate: outer step at the start, decaying linearly to zero; reptile.
        horizon: steps T of a roll-out.
        folds: parts of the meta-train users for cross-fitting, >= 2.
        cross_fitting: whether a fold's users play in a space that has not seen them; without it what is learned trusts
            the features too much, which is for the ablation to show.
        evaluate_every: iterations between validations and saved states.
        validation_repeats: roll-outs a validation averages over, with common random numbers.
        population: whose rewards the tasks are: logged users, latent-factor users, or both in turn.
        simulated_users: latent-factor users an iteration plays; as many as the fold has logged ones when absent.
        jury_users: meta-train users who choose the start beside the validation users, about as many of every fold, each
            in a space that has not seen them. Half of the folds are kept from the outer loop, and those of them judge
            which parameters ship. With 0, and where drawn users validate, validation users alone do both, and all
            folds are trained on.
        start_noises: residual variances of a reward that the start is chosen from by those who choose, harm counted; it
            keeps `inner.value_weight` as it is given unless another is better by more than a standard error.
        start_forgettings: rates of forgetting that it is chosen from likewise, each with each of those, beside
            `inner.forgetting` as it is given; not where that is 0, for then nothing is forgotten.
        start_fatigues: fatigues that it is chosen from before those, each for every memory alike, beside
            `inner.fatigue` as it is given; not where that is 0 throughout, for then nobody gets tired.
        harm_cost: rewards that a person counts as having lost besides, in that judgement, where they got strictly less
            than without adaptation.
        validation_users: latent-factor users that validate in a world that moves.
        form: bandit (every step an episode) or session (`session_length` steps with the inner loop's discount).
        session_length: steps in a session.
        world: what moves in the world while the tasks are played; see `worlds.WorldConfig`.
        fatigue_rate: Adam's for the fatigue, with the same decay.
        scale_rate: Adam's for the features' scale, a diagonal preconditioner, with the same decay; 0 leaves it out.
        feature_rate: Adam's for the features themselves, with the same decay; 0 leaves them as they were fitted.
        device: where the outer loop's gradients are computed; roll-outs are compiled for the CPU in any case.
        outer_temperature: tau of the policy that the query loss judges.
        outer_value_coef: weight of the value error in the query loss.
    """

    algorithm: Literal["maml", "fomaml", "reptile", "joint"] = "maml"
    iterations: int = Field(default=40, ge=0, le=100_000)
    learning_rate: float = Field(default=0.02, ge=0, le=1)
    initialization_rate: float = Field(default=0.001, ge=0, le=1)
    reptile_rate: float = Field(default=0.1, gt=0, le=1)
    horizon: int = Field(default=40, ge=1, le=1000)
    folds: int = Field(default=8, ge=2, le=64)
    cross_fitting: bool = True
    evaluate_every: int = Field(default=20, ge=1)
    validation_repeats: int = Field(default=4, ge=1, le=100)
    jury_users: int = Field(default=400, ge=0, le=100_000)
    start_noises: tuple[Annotated[float, Field(gt=0, le=100)], ...] = (0.1, 0.15, 0.2, 0.3)
    start_forgettings: tuple[Annotated[float, Field(gt=0, le=10)], ...] = (0.01, 0.1)
    start_fatigues: tuple[Annotated[float, Field(gt=0, le=MAX_FATIGUE)], ...] = (0.1, 0.3, 0.6, 1.2)
    harm_cost: float = Field(default=5.0, ge=0, le=1000)
    population: Literal["logged", "latent", "mixed"] = "logged"
    form: Literal["bandit", "session"] = "bandit"
    session_length: int = Field(default=10, ge=1, le=1000)
    simulated_users: int | None = Field(default=None, ge=2, le=100_000)
    validation_users: int = Field(default=200, ge=2, le=100_000)
    world: WorldConfig = WorldConfig()
    fatigue_rate: float = Field(default=0.1, ge=0, le=1)
    scale_rate: float = Field(default=0.0, ge=0, le=1)
    feature_rate: float = Field(default=0.0, ge=0, le=1)
    device: Literal["cpu", "cuda"] = "cpu"
    outer_temperature: float = Field(default=0.05, gt=0)
    outer_value_coef: float = Field(default=4.0, ge=0)

    @property
    def learns_features(self) -> bool:
        """Whether the outer loop changes the features or their scale."""
        return self.scale_rate > 0 or self.feature_rate > 0

    def ungated(self) -> TrainConfig:
        """Returns the same for whoever plays the last update's parameters: nobody chooses another start, and nobody is
        kept from the outer loop to judge it."""
        return self.model_copy(update={"jury_users": 0, "validation_repeats": 1} | dict.fromkeys(STARTS, ()))

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.world.sessions and self.form != "session":
            raise ValueError("a world that users leave has sessions: set train.form=session")
        if self.world.needs_tastes and self.population != "latent":
            raise ValueError("drift and satiation need users with tastes: set train.population=latent")
        if self.form == "session" and self.horizon < 2:
            raise ValueError(
                "a session's step is judged after at least one other, and a horizon of 1 has none: set train.horizon "
                "to 2 or more, or train.form=bandit"
            )
        return self


class RunConfig(FrozenSettings):
    """Everything that decides a trained checkpoint, apart from the data.

    Attributes:
        seed: decides the split of users and every draw.
        threshold: a rating of at least this much is a reward of 1.
        min_positives: users with fewer rewards are left out.
        min_ratings: users with fewer ratings are left out.
        embedding: item embeddings.
        prior: the empirical-Bayes prior.
        inner: inner-loop settings at the start of meta-training.
        train: meta-training.
    """

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    threshold: float = 4.0
    min_positives: int = Field(default=50, ge=0)
    min_ratings: int = Field(default=0, ge=0)
    embedding: EmbeddingConfig = EmbeddingConfig()
    prior: PriorConfig = PriorConfig()
    inner: InnerParams = InnerParams()
    train: TrainConfig = TrainConfig()


def load_config(path: Path | None = None, assignments: Sequence[str] = ()) -> RunConfig:
    """Returns the configuration from a TOML file (all defaults without one) with `a.b=c` assignments on top.

    Values of assignments are read as JSON where they are JSON, else as text.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or out of range; the text names the setting.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; give an existing TOML file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML ({error})") from None
    return validated(RunConfig, assigned(raw, assignments), "metarl-rec train --help")


def assigned(raw: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Returns nested settings with `a.b=c` assignments on top; values are JSON where they parse as JSON, else text.

    Raises:
        ConfigError: an assignment is not `name=value`, or its name runs through a value.
    """
    out: dict[str, Any] = json.loads(json.dumps(raw))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {assignment}: write it as name=value, for example train.iterations=40")
        *parents, leaf = name.strip().split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"--set {assignment}: {parent} is a value, not a section")
        try:
            node[leaf] = json.loads(text)
        except ValueError:
            node[leaf] = text
    return out


def names_of(what: str, known: Collection[Name]) -> Callable[[tuple[Name, ...]], tuple[Name, ...]]:
    """Returns a validator for settings that list names, or numbers that stand for something: it refuses those that are
    not `known`, and says which are, and those that stand there twice."""

    def check(names: tuple[Name, ...]) -> tuple[Name, ...]:
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"no such {what}: {_listed(unknown)}; choose from {_listed(known)}")
        if repeated := sorted({name for name in names if names.count(name) > 1}, key=names.index):
            raise ValueError(f"{what} named twice: {_listed(repeated)}; name each once")
        return names

    return check


def _listed(names: Collection[Name]) -> str:
    return ", ".join(map(str, names))


def decided(
    instead: Mapping[str, str], default: RunConfig | None = None
) -> Callable[[RunConfig, ValidationInfo], RunConfig]:
    """Returns a validator for a protocol's `run`: it refuses what the protocol decides itself, for a setting that
    changes nothing would stand in the report as if it did.

    Args:
        instead: dotted names within RunConfig, for example "train.horizon", each with the protocol's own setting that
            decides it, or "" where none does.
        default: the protocol's `run` where nothing is set; RunConfig's own defaults when absent.
    """
    unset = default or RunConfig()

    def check(run: RunConfig, info: ValidationInfo) -> RunConfig:
        for name, other in instead.items():
            if attrgetter(name)(run) != attrgetter(name)(unset):
                remedy = f"set {other} instead" if other else "leave it out"
                raise ValueError(f"{info.field_name}.{name} is decided by the protocol; {remedy}")
        return run

    return check


def validated(model: type[Settings], raw: dict[str, Any], where_to_look: str) -> Settings:
    """Returns settings of a class from nested values.

    Raises:
        ConfigError: one line that names the first setting that is unknown or out of range.
    """
    try:
        return model.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument") and (
            known := _fields_beside(model, first["loc"])
        ):
            problem = f"there is none of this name; choose from {', '.join(known)}"
        raise ConfigError(f"{f'setting {where}' if where else 'settings'}: {problem}; see {where_to_look}") from None


def _fields_beside(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    """Returns the names of all settings of the section that one was looked for in; none where there is no section."""
    section: Any = model
    for part in where[:-1]:
        kind = get_type_hints(section).get(str(part))
        section = next((each for each in (kind, *get_args(kind)) if isinstance(each, type) and _named(each)), None)
        if section is None:
            return []
    return _named(section)


def _named(section: type[Any]) -> list[str]:
    if issubclass(section, BaseModel):
        return list(section.model_fields)
    return [each.name for each in fields(section)] if is_dataclass(section) else []
