"""What is asked where tastes move, of simulated and of real users alike."""

from __future__ import annotations

from numpy.typing import ArrayLike

from metarl_rec.protocols.limits import FATIGUE_BAR, FORGETTING_BAR, STATIONARY_BAR, remarked
from metarl_rec.protocols.result import Bar, above, not_below

__all__ = ["moving_bars", "tiring_bars"]


def moving_bars(where: str, stationary: ArrayLike, forgetting: ArrayLike, level: float, limits: str) -> list[Bar]:
    """Returns the bars against HB without and with tuned forgetting; what limits those not reached is added.

    Args:
        where: the world or the group of people.
        stationary: [N] independent paired differences, ours minus HB without forgetting.
        forgetting: [N] the same, minus HB with tuned forgetting.
        level: mean reward of HB with forgetting, in the units of the differences.
        limits: what limits those that are not reached.
    """
    return remarked(
        [
            above(f"{where}: {STATIONARY_BAR}", stationary),
            not_below(f"{where}: not below {FORGETTING_BAR}", forgetting, level),
            above(f"stretch: {where}: above {FORGETTING_BAR}", forgetting),
        ],
        limits,
    )


def tiring_bars(where: str, gaps: ArrayLike, level: float, limits: str) -> list[Bar]:
    """Returns the bars against HB with tuned fatigue, where showing has effects.

    Args:
        where: the world.
        gaps: [N] independent paired differences, ours minus it.
        level: its mean reward.
        limits: what limits those that are not reached.
    """
    return remarked(
        [
            not_below(f"{where}: not below {FATIGUE_BAR}", gaps, level),
            above(f"stretch: {where}: above {FATIGUE_BAR}", gaps),
        ],
        limits,
    )
