"""The exception tree: every error that this project raises on purpose.

    MetarlError               something that the caller can put right; its text says how
    ├── ConfigError           a setting or a command-line value
    ├── DataError             a data set, a file of interactions, an attribute table
    │   └── UnknownAttributeError   an attribute name that the data or checkpoint does not declare
    ├── CheckpointError       a checkpoint that must not be served (digest, shape, finiteness)
    └── AdaptationError       adapting produced something that must not be used (non-finite weights)

A message states what was wrong, the value, and what to do about it. The command line prints it as one line
and exits with 2; the service maps it to a problem document.
"""

from __future__ import annotations

__all__ = [
    "AdaptationError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MetarlError",
    "UnknownAttributeError",
]


class MetarlError(Exception):
    """Root of the tree; its text is fit to be shown to a user as it stands."""


class ConfigError(MetarlError):
    """A setting is missing, unknown or out of range."""


class DataError(MetarlError):
    """Input data cannot be read or does not hold what a stage needs."""


class UnknownAttributeError(DataError):
    """An attribute name is not declared.

    Attributes:
        names: the offending names, sorted.
        known: the declared names, sorted.
    """

    def __init__(self, names: list[str], known: list[str]) -> None:
        self.names = sorted(names)
        self.known = sorted(known)
        super().__init__(f"unknown attribute {', '.join(self.names)}; this checkpoint declares {', '.join(self.known)}")


class CheckpointError(MetarlError):
    """A checkpoint is incomplete, damaged, or belongs to something else."""


class AdaptationError(MetarlError):
    """An adaptation gave non-finite weights; the weights before it stay in force."""
