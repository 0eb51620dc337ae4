"""Options of `metarl-rec train` for tests: a training of seconds, judged by few people."""

from __future__ import annotations

__all__ = ["quick_training"]


def quick_training(iterations: int, evaluate_every: int) -> list[str]:
    """Returns the options of a training of so many updates, validated every so many."""
    settings = {
        "iterations": iterations, "evaluate_every": evaluate_every, "validation_repeats": 1, "jury_users": 16,
    }  # fmt: skip
    return [part for name, value in settings.items() for part in ("--set", f"train.{name}={value}")]
