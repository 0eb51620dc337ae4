"""The ablation's arms: outer loops from everywhere that they begin, the loss's terms, and the other parts."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ARMS", "DEFAULT", "LOOPS", "ORIGINS", "PARTS", "START", "TERMS", "UNADAPTED", "Arm", "named"]

UNADAPTED = "unadapted"
START = "start"
LOOPS = {"maml": "MAML", "fomaml": "FOMAML", "reptile": "Reptile", "joint": "joint training"}
ORIGINS = {"prior": "the prior", "flat": "flat features", "random": "random features"}
"""Where outer loops begin."""


def named(what: str, origin: str) -> str:
    """Returns the name of the arm of an outer loop, or of a start, from one of ORIGINS."""
    return f"{what} ({origin})"


DEFAULT = named(START, "prior")


@dataclass(frozen=True, slots=True)
class Arm:
    """One change.

    Attributes:
        name: what is changed.
        changes: settings, as `--set` takes them.
        policy_factor: what `inner.policy_coef` is multiplied by.
        origin: where the outer loop begins, one of ORIGINS; none where a part of the adaptation is changed.
        trained: whether the outer loop runs.
        adapted: whether anybody's policy is adapted.
        greedy: whether the best items are shown instead of sampled ones.
    """

    name: str
    changes: tuple[str, ...] = ()
    policy_factor: float = 1.0
    origin: str = ""
    trained: bool = False
    adapted: bool = True
    greedy: bool = False


_FEATURES = {
    "prior": (),
    "flat": ("prior.features=flat", "train.scale_rate=0.2"),
    "random": ("prior.features=random", "prior.max_rank=32", "train.feature_rate=0.002"),
}
# A precision of e^-30: the value term, and with it the preconditioner, counts nothing beside the pull.
_NO_VALUE_TERM = ("inner.value_weight=[-30,0,0,0]",)
TERMS = (
    Arm("value term only", policy_factor=0),
    Arm("policy-gradient term x 10", policy_factor=10),
    Arm("policy-gradient term x 100", policy_factor=100),
    Arm("policy-gradient term alone", _NO_VALUE_TERM),
    Arm("policy-gradient term x 100 alone", _NO_VALUE_TERM, policy_factor=100),
    Arm("clip .99", ("inner.clip=0.99",)),
    Arm("entropy bonus .0001", ("inner.entropy_coef=0.0001",)),
)
LEARNED = (
    Arm("MAML, the initialization alone", ("train.learning_rate=0",), trained=True),
    Arm("MAML, the scalars alone", ("train.initialization_rate=0",), trained=True),
    Arm("MAML without cross-fitting", ("train.cross_fitting=false",), trained=True),
)
"""Parts of what the outer loop learns, and of how, from the prior."""
PARTS = (
    Arm("greedy instead of sampled", greedy=True),
    # 1.5 / lambda_max is this preconditioner's own step, as 1 is the posterior's (science.md, section 7).
    Arm("scalar step size", ("inner.preconditioner=scalar", f"inner.step_sizes={[1.5] * 5}")),
    Arm("noise .2", ("inner.value_weight=[1.609,0,0,0]",)),
    Arm("noise .15", ("inner.value_weight=[1.897,0,0,0]",)),
    Arm("one epoch", ("inner.step_sizes=[1.0]",)),
    Arm("half steps", (f"inner.step_sizes={[0.5] * 5}",)),
    Arm("ten epochs", (f"inner.step_sizes={[1.0] * 10}",)),
    Arm("temperature .02", ("inner.temperature=0.02",)),
    Arm("caution 2", ("inner.caution=2",)),
    Arm("forgetting .02", ("inner.forgetting=0.02",)),
    Arm("no user attributes", ("prior.attribute_gain=0",)),
    Arm("no item attributes", ("prior.item_attribute_scale=0",)),
    Arm("no attributes at all", ("prior.attribute_gain=0", "prior.item_attribute_scale=0")),
    Arm("no soft threshold", ("prior.shrinkage=0",)),
    Arm("rank 10", ("prior.max_rank=10",)),
)


def _outer_loops(origin: str) -> tuple[Arm, ...]:
    given = _FEATURES[origin]
    return (
        Arm(named(UNADAPTED, origin), given, origin=origin, adapted=False),
        Arm(named(START, origin), given, origin=origin),
        *(Arm(named(loop, origin), (*given, f"train.algorithm={loop}"), origin=origin, trained=True) for loop in LOOPS),
    )


ARMS = (*(arm for origin in ORIGINS for arm in _outer_loops(origin)), *LEARNED, *TERMS, *PARTS)
