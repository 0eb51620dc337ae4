"""The protocols of `metarl-rec evaluate --protocol`, each loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from metarl_rec.config import assigned, validated
from metarl_rec.errors import ConfigError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.protocols.result import ProtocolResult, Watch
from metarl_rec.workspace import Workspace

__all__ = ["DIVIDED", "PROTOCOLS", "run_protocol", "settings_of"]

PROTOCOLS = {
    "cold-start": "metarl_rec.protocols.cold_start",
    "drift": "metarl_rec.protocols.drift",
    "real-drift": "metarl_rec.protocols.real_drift",
    "cold-items": "metarl_rec.protocols.cold_items",
    "signals": "metarl_rec.protocols.signals",
    "ablation": "metarl_rec.protocols.ablation",
    "conditions": "metarl_rec.protocols.conditions",
    "bandit": "metarl_rec.protocols.bandit",
    "mdp": "metarl_rec.protocols.mdp",
    "sine": "metarl_rec.protocols.sine",
    "metarec": "metarl_rec.protocols.metarec",
}
"""Module of each protocol. It has `Settings`, a frozen pydantic model whose defaults are the published protocol, and
`run(settings, workspace, watch) -> ProtocolResult`."""
DIVIDED = frozenset({"cold-start", "drift", "real-drift", "cold-items", "signals", "ablation", "conditions"})
"""Those that are made of parts (metarl_rec.protocols.parts), which several processes can share."""


def run_protocol(
    name: str,
    workspace: Workspace,
    assignments: Sequence[str] = (),
    seed: int | None = None,
    watch: Watch | None = None,
) -> ProtocolResult:
    """Returns a protocol's result.

    Args:
        name: one of PROTOCOLS.
        workspace: where data sets lie and partial results are kept.
        assignments: `name=value` settings of the protocol, on top of its own defaults.
        seed: the protocol's seed; its default when absent.
        watch: told of progress.

    Raises:
        ConfigError: no such protocol or setting.
    """
    settings = settings_of(name, assignments, seed)
    result: ProtocolResult = import_module(PROTOCOLS[name]).run(settings, workspace, watch or (lambda *_: None))
    return result


def settings_of(name: str, assignments: Sequence[str] = (), seed: int | None = None) -> FrozenSettings:
    """Returns a protocol's settings; arguments and errors are those of `run_protocol`."""
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol {name!r} is unknown; choose from: {', '.join(PROTOCOLS)}")
    kind: type[FrozenSettings] = import_module(PROTOCOLS[name]).Settings
    raw = _over(kind().model_dump(mode="json"), assigned({}, assignments))
    if seed is not None:
        if "seed" not in kind.model_fields:
            raise ConfigError(f"protocol {name} has fixed seeds, one a split; --seed does not apply")
        raw["seed"] = seed
    return validated(kind, raw, "metarl-rec evaluate --help")


def _over(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    # A section is not replaced by what is given of it: a protocol's `run` may differ from RunConfig's own defaults.
    out = dict(defaults)
    for name, value in given.items():
        below = defaults.get(name)
        out[name] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out
