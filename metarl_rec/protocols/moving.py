"""What is asked where tastes move, of simulated and of real users alike."""

from __future__ import annotations

from numpy.typing import ArrayLike

from metarl_rec.protocols.limits import FORGETTING_BAR, STATIONARY_BAR, remarked
from metarl_rec.protocols.result import Bar, above, not_below

__all__ = ["moving_bars"]

_MARGIN = 0.01
"""Share of its reward by which ours may at most be below HB with forgetting, two standard errors taken off."""


def moving_bars(where: str, stationary: ArrayLike, forgetting: ArrayLike, level: float) -> list[Bar]:
    """Returns the bars against HB without and with tuned forgetting; what limits those not reached is added.

    Args:
        where: the world or the group of people.
        stationary: [N] independent paired differences, ours minus HB without forgetting.
        forgetting: [N] the same, minus HB with tuned forgetting.
        level: mean reward of HB with forgetting, in the units of the differences.
    """
    return remarked(
        [
            above(f"{where}: {STATIONARY_BAR}", stationary),
            not_below(f"{where}: not below {FORGETTING_BAR}", forgetting, _MARGIN * level),
            above(f"stretch: {where}: above {FORGETTING_BAR}", forgetting),
        ]
    )
