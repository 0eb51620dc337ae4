"""What the outer loop learns: an initialization and the inner loop's settings, unconstrained, in torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from metarl_rec.inner_params import MAX_FATIGUE, MIN_STEP, InnerParams
from metarl_rec.tasks import TaskSpace

__all__ = ["InnerTensors", "MetaParams", "raw_fatigue_of"]


_FATIGUE_SCALE = 0.1


@dataclass(frozen=True, slots=True)
class InnerTensors:
    """`InnerParams` as tensors that gradients flow through.

    Attributes:
        step_sizes: [K], each in (0, 2).
        value_weight: [4].
        policy_coef: [], >= 0.
        entropy_coef: [], >= 0.
        temperature: behaviour temperature, > 0; not learned.
        clip: PPO's epsilon; not learned.
        discount: gamma; not learned.
        forgetting: [], lambda >= 0.
        caution: c >= 0; not learned, because reward alone would unlearn it.
    """

    step_sizes: Tensor
    preconditioner: Literal["posterior", "scalar"]
    value_weight: Tensor
    policy_coef: Tensor
    entropy_coef: Tensor
    temperature: float
    clip: float
    discount: float
    forgetting: Tensor
    caution: float

    @classmethod
    def from_params(cls, params: InnerParams, dtype: torch.dtype = torch.float32) -> InnerTensors:
        """Returns the same settings as constant tensors."""
        return cls(
            step_sizes=torch.tensor(params.step_sizes, dtype=dtype),
            preconditioner=params.preconditioner,
            value_weight=torch.tensor(params.value_weight, dtype=dtype),
            policy_coef=torch.tensor(params.policy_coef, dtype=dtype),
            entropy_coef=torch.tensor(params.entropy_coef, dtype=dtype),
            temperature=params.temperature,
            clip=params.clip,
            discount=params.discount,
            forgetting=torch.tensor(params.forgetting, dtype=dtype),
            caution=params.caution,
        )


@dataclass(frozen=True, slots=True)
class MetaParams:
    """Learned quantities; every field a float tensor.

    Attributes:
        initialization: [D], fast weights at which every user starts.
        attribute_gain: [], g in w0(u) = initialization + g * shift(attributes of u).
        step_logits: [K], step size = 2 sigmoid(.).
        value_weight: [4], o of the value loss.
        log_policy_coef: [].
        log_entropy_coef: [].
        log_forgetting: []; not learned where the configured forgetting is zero.
        log_scale: [D], features are multiplied by exp(.), a diagonal preconditioner of the fast weights; not learned
            where its rate is zero.
        feature_shift: [n, D], added to the features before that; [0, D] where its rate is zero.
        raw_fatigue: [M], fatigue = .1 softplus(.); not learned where the configured fatigue is zero throughout.
    """

    initialization: Tensor
    attribute_gain: Tensor
    step_logits: Tensor
    value_weight: Tensor
    log_policy_coef: Tensor
    log_entropy_coef: Tensor
    log_forgetting: Tensor
    log_scale: Tensor
    feature_shift: Tensor
    raw_fatigue: Tensor

    @classmethod
    def start(
        cls, dim: int, inner: InnerParams, attribute_gain: float, dtype: torch.dtype = torch.float32, items: int = 0
    ) -> MetaParams:
        """Returns the empirical-Bayes initialization: zero fast weights, inner settings as given.

        Args:
            dim: number of features D.
            inner: settings.
            attribute_gain: g.
            dtype: of all tensors.
            items: number n of items whose features are learned; 0 leaves them as they are.
        """
        shares = [step / 2 for step in inner.step_sizes]
        return cls(
            initialization=torch.zeros(dim, dtype=dtype),
            attribute_gain=torch.tensor(attribute_gain, dtype=dtype),
            step_logits=torch.tensor([math.log(s / (1 - s)) for s in shares], dtype=dtype),
            value_weight=torch.tensor(inner.value_weight, dtype=dtype),
            log_policy_coef=torch.tensor(math.log(max(inner.policy_coef, 1e-12)), dtype=dtype),
            log_entropy_coef=torch.tensor(math.log(max(inner.entropy_coef, 1e-12)), dtype=dtype),
            log_forgetting=torch.tensor(math.log(max(inner.forgetting, 1e-12)), dtype=dtype),
            log_scale=torch.zeros(dim, dtype=dtype),
            feature_shift=torch.zeros((items, dim), dtype=dtype),
            raw_fatigue=raw_fatigue_of(inner.fatigue, dtype),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Returns the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device) -> MetaParams:
        """Returns the same parameters on a device, without their gradients' history."""
        return MetaParams(**{name: tensor.detach().to(device) for name, tensor in self.tensors().items()})

    def features(self, given: Tensor) -> Tensor:
        """Returns the features [n, D] as learned, from those that were fitted."""
        shifted = given + self.feature_shift if len(self.feature_shift) else given
        return shifted * self.log_scale.exp()

    def scaled(self, space: TaskSpace) -> TaskSpace:
        """Returns the task space with the features as learned."""
        features = self.features(torch.from_numpy(space.features)).to(torch.float32)
        return dataclasses.replace(space, features=features.numpy())

    def fatigue(self, base: InnerParams) -> Tensor:
        """Returns h [M] >= 0; zeros where `base` has none."""
        if not any(base.fatigue):
            return torch.zeros_like(self.raw_fatigue)
        return _FATIGUE_SCALE * torch.nn.functional.softplus(self.raw_fatigue)

    def inner(self, base: InnerParams) -> InnerTensors:
        """Returns the constrained settings; what is not learned comes from `base`."""
        return InnerTensors(
            step_sizes=2 * torch.sigmoid(self.step_logits),
            preconditioner=base.preconditioner,
            value_weight=self.value_weight,
            policy_coef=self.log_policy_coef.exp() if base.policy_coef > 0 else torch.zeros_like(self.log_policy_coef),
            entropy_coef=self.log_entropy_coef.exp()
            if base.entropy_coef > 0
            else torch.zeros_like(self.log_entropy_coef),
            temperature=base.temperature,
            clip=base.clip,
            discount=base.discount,
            forgetting=self.log_forgetting.exp() if base.forgetting > 0 else torch.zeros_like(self.log_forgetting),
            caution=base.caution,
        )

    def inner_params(self, base: InnerParams) -> InnerParams:
        """Returns the settings as plain numbers, for a checkpoint or a compiled roll-out."""
        tensors = self.inner(base)
        o = tensors.value_weight.tolist()
        return base.model_copy(
            update={
                "step_sizes": tuple(min(max(step, MIN_STEP), 1.999) for step in tensors.step_sizes.tolist()),
                "value_weight": (o[0], o[1], o[2], o[3]),
                "policy_coef": float(tensors.policy_coef),
                "entropy_coef": float(tensors.entropy_coef),
                "forgetting": min(float(tensors.forgetting), 10.0),
                "fatigue": tuple(min(h, MAX_FATIGUE) for h in self.fatigue(base).tolist()),
            }
        )


def raw_fatigue_of(fatigue: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns the `raw_fatigue` [M] of h [M] >= 0."""
    return torch.tensor([_inverse_softplus(max(h, 1e-6) / _FATIGUE_SCALE) for h in fatigue], dtype=dtype)


def _inverse_softplus(x: float) -> float:
    """Returns log(exp(x) - 1) of x > 0, in a form that does not overflow."""
    return x + math.log(-math.expm1(-x))
