"""From events to rewards: one place, one mapping."""

from __future__ import annotations

from service.schemas import HistoryEvent
from service.settings import Settings

__all__ = ["reward_of"]


def reward_of(event: HistoryEvent, settings: Settings) -> float | None:
    """Returns the reward in [0, 1] that an event stands for, or None where it teaches nothing.

    A rating is 1 from the threshold on and 0 below it, which is what the meta-policy was trained on; a custom event
    brings its reward as its value; every other type has the one that the settings give it.
    """
    if event.type == "rating" and event.value is not None:
        return 1.0 if event.value >= settings.rating_threshold else 0.0
    if event.type == "custom":
        return event.value
    return settings.event_rewards.get(event.type)
