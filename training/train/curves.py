"""Loss and accuracy of a run against its epochs, training and validation: `curves.png`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from strokenext.saving import write_file

from .run import best_epoch


def draw_curves(history: Sequence[Mapping[str, Any]], select: str, path: Path) -> None:
    """Write the two panels as PNG, the kept epoch marked; figures that were not measured leave a gap."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    kept = history[best_epoch(history, select)]["epoch"]
    epochs = [line["epoch"] for line in history]
    measured = {k.removeprefix("validation ") for line in history for k in _flat(line)}
    shown: list[str] = [k for k in ("accuracy", "auroc", "dice", "iou") if k in measured]
    panels: tuple[list[str], ...] = (["loss"], shown)
    for place, names in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 2, place)
        for colour, name in enumerate(names):
            for prefix, style in (("", "--"), ("validation ", "-")):
                values = [_flat(line).get(prefix + name) for line in history]
                if any(v is not None for v in values):
                    numbers = [float("nan") if v is None else v for v in values]
                    axes.plot(
                        epochs, numbers, style, marker=".", color=f"C{colour}", label=f"{prefix or 'training '}{name}"
                    )
        axes.axvline(kept, color="0.75", linewidth=1, zorder=0, label=f"kept: epoch {kept}")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        axes.set_ylabel(" / ".join(names))
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png")
    write_file(path, buffer.getvalue())


def _flat(line: Mapping[str, Any]) -> dict[str, Any]:
    """Training figures under their names, those of validation with "validation " before them."""
    return {k: v for k, v in line.items() if k != "validation"} | {
        f"validation {k}": v for k, v in line["validation"].items()
    }
