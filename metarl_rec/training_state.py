"""The trainer's state between updates, and its file form: one safetensors file and one JSON file.

The random draws need no state: each is keyed by the seed, its purpose and the iteration.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from metarl_rec.adam import AdamState
from metarl_rec.config import RunConfig
from metarl_rec.errors import CheckpointError
from metarl_rec.meta_params import MetaParams
from metarl_rec.problem import Problem
from metarl_rec.provenance import sources
from metarl_rec.validate import Validation

__all__ = ["TrainingState", "load_state", "save_state"]

TENSOR_FILE = "trainer.safetensors"
STATE_FILE = "trainer.json"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything an uninterrupted run would carry into its next iteration.

    Attributes:
        meta: current meta-parameters.
        adam: optimizer moments.
        iteration: updates done.
        best_meta: best validated meta-parameters.
        best: their validation.
        best_iteration: updates behind them.
        start: validation of the start.
        start_meta: the start.
        latest: last validation.
        history: (iteration, before, after) of every validation.
    """

    meta: MetaParams
    adam: AdamState
    iteration: int
    best_meta: MetaParams
    best: Validation
    best_iteration: int
    start: Validation
    start_meta: MetaParams
    latest: Validation
    history: list[tuple[int, float, float]] = field(default_factory=list)

    @classmethod
    def begin(cls, meta: MetaParams, start: Validation) -> TrainingState:
        """Returns the state before the first update."""
        history = [(0, start.before, start.after)]
        return cls(meta, AdamState.zeros(meta.tensors()), 0, meta, start, 0, start, meta, start, history)


def _fingerprint(config: RunConfig, problem: Problem) -> str:
    parts = [config.model_dump_json(), problem.dataset.digest, str(problem.split.train.tolist())]
    digest = hashlib.sha256("\n".join(parts).encode())
    digest.update(problem.space.features.tobytes())
    return digest.hexdigest()


def save_state(state: TrainingState, directory: Path, config: RunConfig, problem: Problem) -> None:
    """Writes the state; each file replaces its predecessor whole, and the JSON names the tensors it goes with."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        **{f"meta.{name}": tensor for name, tensor in state.meta.tensors().items()},
        **{f"best.{name}": tensor for name, tensor in state.best_meta.tensors().items()},
        **{f"start.{name}": tensor for name, tensor in state.start_meta.tensors().items()},
        **{f"adam.first.{name}": tensor for name, tensor in state.adam.first.items()},
        **{f"adam.second.{name}": tensor for name, tensor in state.adam.second.items()},
    }
    partial = directory / (TENSOR_FILE + ".partial")
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, partial)
    record: dict[str, Any] = {
        "sources": sources(),
        "fingerprint": _fingerprint(config, problem),
        "tensors_sha256": hashlib.sha256(partial.read_bytes()).hexdigest(),
        "iteration": state.iteration,
        "adam_steps": state.adam.steps,
        "best": asdict(state.best),
        "best_iteration": state.best_iteration,
        "start": asdict(state.start),
        "latest": asdict(state.latest),
        "history": state.history,
    }
    text = directory / (STATE_FILE + ".partial")
    text.write_text(json.dumps(record, indent=2), encoding="utf-8")
    partial.replace(directory / TENSOR_FILE)
    text.replace(directory / STATE_FILE)


def load_state(directory: Path, config: RunConfig, problem: Problem) -> TrainingState:
    """Reads a saved state.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to other code or another configuration, data set
            or split.
    """
    try:
        record = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        # Before anything else is read: other code may keep other things, and would not go on bit for bit.
        if record.get("sources") != sources():
            raise CheckpointError(f"{directory}: the saved state is that of other code; train without --resume")
        content = (directory / TENSOR_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != record["tensors_sha256"]:
            raise CheckpointError(f"{directory / TENSOR_FILE}: does not match {STATE_FILE}; train without --resume")
        if record["fingerprint"] != _fingerprint(config, problem):
            raise CheckpointError(
                f"{directory}: the saved state belongs to other settings or data; "
                "use the same ones, or train without --resume"
            )
        return _state(record, load_file(directory / TENSOR_FILE))
    except OSError as error:
        raise CheckpointError(f"{directory}: nothing to resume ({error.strerror}); train without --resume") from None
    except (AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{directory}: the saved state is damaged ({error}); train without --resume") from None


def _state(record: dict[str, Any], tensors: dict[str, Tensor]) -> TrainingState:
    def part(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    return TrainingState(
        meta=MetaParams(**part("meta.")),
        adam=AdamState(part("adam.first."), part("adam.second."), record["adam_steps"]),
        iteration=record["iteration"],
        best_meta=MetaParams(**part("best.")),
        best=_validation(record["best"]),
        best_iteration=record["best_iteration"],
        start=_validation(record["start"]),
        start_meta=MetaParams(**part("start.")),
        latest=_validation(record["latest"]),
        history=[(int(i), float(b), float(a)) for i, b, a in record["history"]],
    )


def _validation(record: dict[str, Any]) -> Validation:
    rewards, harmed = (tuple(float(each) for each in record[name]) for name in ("rewards", "harmed"))
    return Validation(record["before"], record["after"], rewards, harmed)
