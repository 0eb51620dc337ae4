"""What is asked where people change, of simulated and of real users alike."""

from __future__ import annotations

from numpy.typing import ArrayLike

from metarl_rec.protocols.limits import FORGETTING_BAR, STATIONARY_BAR, remarked
from metarl_rec.protocols.result import Bar, above, not_below

__all__ = ["informed_bars", "moving_bars"]


def moving_bars(where: str, stationary: ArrayLike, forgetting: ArrayLike, level: float, limits: str) -> list[Bar]:
    """Returns the bars against HB without and with tuned forgetting; what limits those not reached is added.

    Args:
        where: the world or the group of people.
        stationary: [N] independent paired differences, ours minus HB without forgetting.
        forgetting: [N] the same, minus HB with tuned forgetting.
        level: mean reward of HB with forgetting, in the units of the differences.
        limits: what limits those that are not reached.
    """
    first = remarked([above(f"{where}: {STATIONARY_BAR}", stationary)], limits)
    return first + informed_bars(where, FORGETTING_BAR, forgetting, level, limits)


def informed_bars(where: str, rival: str, gaps: ArrayLike, level: float, limits: str) -> list[Bar]:
    """Returns the bars against a baseline that knows what changes: not below it, and, as a stretch, above.

    Args:
        where: the world or the group of people.
        rival: the baseline.
        gaps: [N] independent paired differences, ours minus it.
        level: its mean reward, in the units of the differences.
        limits: what limits those that are not reached.
    """
    bars = [not_below(f"{where}: not below {rival}", gaps, level), above(f"stretch: {where}: above {rival}", gaps)]
    return remarked(bars, limits)
