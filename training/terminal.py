"""What the commands show while they work: a progress bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from strokenext.types import Progress
from training.measure import estimate

if TYPE_CHECKING:
    from strokenext.record.config import ModelConfig

#: What `finished_lines` shows of each set, where it was measured.
SHOWN = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "balanced_accuracy": "balanced accuracy",
    "dice": "Dice",
    "lesions_found": "lesions found",
    "slices_marked": "slices with a mark",
}


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A function (done, total) that moves a bar with remaining time and rate; silent unless stderr is a terminal."""
    from tqdm import tqdm

    with tqdm(desc=title, unit="image", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def finished_lines(config: ModelConfig, folder: Path) -> str:
    """What `finish` prints: the thresholds it chose, each set's main figures, and where the rest is."""
    thresholds = config.masks.thresholds if config.masks else (config.threshold,)
    lines = [f"{config.name}: threshold {', '.join(f'{t:.2f}' for t in thresholds)}"]
    for title, figures in config.metrics.items():
        shown = ", ".join(f"{name} {estimate.text(figures[key])}" for key, name in SHOWN.items() if key in figures)
        lines.append(f"  {title}: {figures.get('slices', '?')} slices, {shown}")
    return "\n".join([*lines, f"All figures: {folder / 'config.json'}; card: {folder / 'README.md'}"])
