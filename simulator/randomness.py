"""Counter-based randomness: a uniform number is a pure function of (seed, purpose, keys), so order never matters.

A batch draws what single users draw, and what one user does never changes another user's numbers.

Reference: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011 (counter-based generators); the mixer
    is splitmix64's finalizer, Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014,
    fig. 10.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

__all__ = ["exponentials", "normals", "uniforms"]

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_MANTISSA_BITS = 53
_WORD = 1 << 64


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Returns the logical right shift; torch's own keeps the sign."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """Returns splitmix64's output for the state `x` int64; multiplication wraps around."""
    x = x + _GOLDEN
    x = (x ^ _shift_right(x, 30)).mul_(_MIX_1)
    x = (x ^ _shift_right(x, 27)).mul_(_MIX_2)
    return _shift_right(x, 31).bitwise_xor_(x)


def _mix_number(x: int) -> int:
    """Returns `_mix` of one signed 64-bit integer, without a tensor's overhead."""
    x = (x + _GOLDEN) % _WORD
    x = (x ^ (x >> 30)) * (_MIX_1 % _WORD) % _WORD
    x = (x ^ (x >> 27)) * (_MIX_2 % _WORD) % _WORD
    x ^= x >> 31
    return x - _WORD if x >= _WORD // 2 else x


def uniforms(seed: int, purpose: str, *keys: Tensor | int) -> Tensor:
    """Returns uniform numbers in [0, 1) float64, one for each combination of keys after broadcasting.

    Args:
        seed: any integer below 2**63.
        purpose: what the numbers are for; other purposes have independent numbers.
        keys: int64 tensors that broadcast together, for example user [N, 1] and item [1, n], or integers below 2**63;
            their order matters. The numbers are on the tensors' device.
    """
    state: Tensor | int = _mix_number(seed ^ (zlib.crc32(purpose.encode()) << 20))
    for key in keys:
        mixed = _mix_number(key) if isinstance(key, int) else _mix(key.to(torch.int64))
        state = state ^ mixed
        state = _mix_number(state) if isinstance(state, int) else _mix(state)
    bits = torch.tensor(state) if isinstance(state, int) else state
    return _shift_right(bits, 64 - _MANTISSA_BITS).to(torch.float64).mul_(1.0 / (1 << _MANTISSA_BITS))


def _open_uniforms(seed: int, purpose: str, *keys: Tensor | int) -> Tensor:
    """Returns uniform numbers with neither 0 nor 1 among them: half a step in from both ends."""
    return (uniforms(seed, purpose, *keys) + 0.5 / float(1 << _MANTISSA_BITS)).clamp_(max=1 - 2.0**-53)


def normals(seed: int, purpose: str, *keys: Tensor | int) -> Tensor:
    """Returns standard normal numbers float64, by the inverse distribution function; arguments as in `uniforms`."""
    quantiles: Tensor = torch.special.ndtri(_open_uniforms(seed, purpose, *keys))
    return quantiles


def exponentials(seed: int, purpose: str, *keys: Tensor | int) -> Tensor:
    """Returns exponential numbers of mean 1 float64; arguments as in `uniforms`."""
    return -torch.log(_open_uniforms(seed, purpose, *keys))
