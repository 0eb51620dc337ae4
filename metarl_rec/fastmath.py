"""What compiled kernels may assume of floating-point arithmetic."""

from __future__ import annotations

__all__ = ["FAST"]

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Reassociation lets reductions use SIMD; NaN and infinity keep their meaning, because the guards rely on it."""
