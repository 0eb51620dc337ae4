"""Meta-learned PPO recommendations: data, learning core and evaluation.

Read `inner_loop` for what adapting one user means, `outer_loop` for how the initialization is learned, `train` for the
loop around both, and `evaluate` for how it is judged. The compiled twins that serve are in `kernels` and `slates`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
