"""Adam as a pure function, so that a trainer's state is plain tensors.

Reference: Kingma & Ba, 2015, arXiv:1412.6980, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["AdamState"]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class AdamState:
    """Running moments of the gradients.

    Attributes:
        first: mean of gradients by parameter name.
        second: mean of squared gradients by parameter name.
        steps: updates so far.
    """

    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]
    steps: int = 0

    @classmethod
    def zeros(cls, parameters: Mapping[str, Tensor]) -> AdamState:
        """Returns the state before the first update."""
        return cls(
            {name: torch.zeros_like(tensor) for name, tensor in parameters.items()},
            {name: torch.zeros_like(tensor) for name, tensor in parameters.items()},
        )

    def update(
        self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], rates: Mapping[str, float]
    ) -> tuple[dict[str, Tensor], AdamState]:
        """Returns the parameters and the state after one update with a learning rate for each parameter."""
        steps = self.steps + 1
        first = {name: _BETA1 * self.first[name] + (1 - _BETA1) * gradients[name] for name in parameters}
        second = {name: _BETA2 * self.second[name] + (1 - _BETA2) * gradients[name].square() for name in parameters}
        moved = {
            name: tensor
            - rates[name] * first[name] / (1 - _BETA1**steps) / ((second[name] / (1 - _BETA2**steps)).sqrt() + _EPSILON)
            for name, tensor in parameters.items()
        }
        return moved, AdamState(first, second, steps)
