"""The two tables of the paper (Ramos and Sappa, arXiv 2602.15087), as data: image-level split of TEKNOFEST 2021."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One method: accuracy, precision, recall, F1, hours of training on one A100, seconds per image."""

    architecture: str
    accuracy: float
    precision: float
    recall: float
    f1: float
    hours: float
    seconds: float


TABLES: dict[str, tuple[Published, ...]] = {
    "presence": (
        Published("mobilenetv2", 0.868, 0.866, 0.868, 0.865, 0.040, 0.0002),
        Published("vgg16", 0.894, 0.893, 0.894, 0.893, 0.041, 0.0002),
        Published("resnet50", 0.856, 0.854, 0.856, 0.853, 0.040, 0.0002),
        Published("resnet152", 0.846, 0.843, 0.846, 0.843, 0.046, 0.0003),
        Published("swin_tiny", 0.893, 0.893, 0.892, 0.890, 0.067, 0.0004),
        Published("convnext_base", 0.875, 0.875, 0.875, 0.874, 0.049, 0.0002),
        Published("strokenext_tiny", 0.978, 0.978, 0.978, 0.978, 0.087, 0.0002),
        Published("strokenext_small", 0.980, 0.981, 0.981, 0.980, 0.126, 0.0003),
        Published("strokenext_base", 0.982, 0.983, 0.982, 0.982, 0.161, 0.0003),
        Published("strokenext_large", 0.987, 0.987, 0.987, 0.987, 0.245, 0.0003),
    ),
    "subtype": (
        Published("mobilenetv2", 0.843, 0.845, 0.843, 0.842, 0.020, 0.0001),
        Published("vgg16", 0.892, 0.893, 0.892, 0.892, 0.020, 0.0002),
        Published("resnet50", 0.807, 0.811, 0.807, 0.806, 0.022, 0.0002),
        Published("resnet152", 0.791, 0.791, 0.792, 0.791, 0.025, 0.0003),
        Published("swin_tiny", 0.796, 0.795, 0.795, 0.795, 0.029, 0.0003),
        Published("convnext_base", 0.852, 0.854, 0.852, 0.852, 0.026, 0.0002),
        Published("strokenext_tiny", 0.986, 0.985, 0.986, 0.986, 0.041, 0.0002),
        Published("strokenext_small", 0.987, 0.987, 0.987, 0.987, 0.096, 0.0004),
        Published("strokenext_base", 0.988, 0.988, 0.988, 0.988, 0.101, 0.0005),
        Published("strokenext_large", 0.987, 0.987, 0.985, 0.986, 0.122, 0.0006),
    ),
}


def published(task: str, architecture: str) -> Published | None:
    """The paper's row of an architecture; None for one that is not in its table."""
    return next((row for row in TABLES[task] if row.architecture == architecture), None)
