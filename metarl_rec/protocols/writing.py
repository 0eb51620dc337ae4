"""A protocol's report as files: JSON with raw results, plots as PNG, and one HTML page that a person can read."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metarl_rec.protocols.result import Panel, ProtocolResult

__all__ = ["draw_panels", "write_report"]

_COLUMNS = 2


def write_report(result: ProtocolResult, directory: Path, machine: Mapping[str, Any]) -> Path:
    """Writes report.json, curves.png (where there are curves) and report.html; returns the page's path.

    Args:
        result: what to write.
        directory: created where it does not exist; an older report in it is replaced.
        machine: where the figures came from.
    """
    directory.mkdir(parents=True, exist_ok=True)
    payload = {**asdict(result), "machine": dict(machine)}
    (directory / "report.json").write_text(json.dumps(payload, allow_nan=False) + "\n", encoding="utf-8")
    picture = None
    if result.panels:
        picture = draw_panels(result.panels)
        (directory / "curves.png").write_bytes(picture)
    page = directory / "report.html"
    page.write_text(_page(result, picture, machine), encoding="utf-8")
    return page


def draw_panels(panels: Sequence[Panel]) -> bytes:
    """Returns the plots side by side as a PNG: lines with bands of one standard error."""
    # pyplot keeps figures in a global list and picks a screen; the object interface does neither.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.8 * columns, 4.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for index, curve in enumerate(panel.curves):
            color, style = f"C{index % 10}", "-" if index < 10 else "--"
            axes.plot(curve.x, curve.y, style, color=color, label=curve.label, linewidth=1.5)
            if curve.error is not None:
                low = [y - e for y, e in zip(curve.y, curve.error, strict=True)]
                high = [y + e for y, e in zip(curve.y, curve.error, strict=True)]
                axes.fill_between(curve.x, low, high, color=color, alpha=0.15)
        axes.set(xlabel=panel.x_label, ylabel=panel.y_label, title=panel.title)
        if panel.log_x:
            axes.set_xscale("log")
        axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.25)
    for axes in list(grid.flat)[len(panels) :]:
        axes.axis("off")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def _page(result: ProtocolResult, picture: bytes | None, machine: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("metarl_rec.protocols"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        result=result,
        picture=None if picture is None else base64.b64encode(picture).decode(),
        context=json.dumps({**result.context, "machine": dict(machine)}, indent=1, ensure_ascii=False),
    )
