"""How the trainer shares the machine's cores."""

from __future__ import annotations

import numba
import torch

__all__ = ["cores", "share_cores"]


def cores() -> int:
    """Returns how many cores this process may use: all of them, or those that it is bound to."""
    return int(numba.config.NUMBA_DEFAULT_NUM_THREADS)  # type: ignore[attr-defined]


def share_cores() -> None:
    """Gives the cores to numba's loop over users, and one to torch.

    A training step alternates between both. With OpenMP each pool spins while the other works: on two cores that costs
    a third of the speed, and beside another busy process a factor of ten. numba's own work queue sleeps instead.
    """
    torch.set_num_threads(1)
    numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]
