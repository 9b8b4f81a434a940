"""The explanation methods there are, as data. No torch here, so that a page can list them at once."""

from __future__ import annotations

from dataclasses import dataclass

from strokenext.errors import OptionError


@dataclass(frozen=True)
class Method:
    """A way to explain. `absolute`: the map is in logit units and may be compared between images.

    `slow`: one forward pass per channel, seconds to minutes instead of milliseconds.
    """

    name: str
    title: str
    absolute: bool
    slow: bool
    about: str


_TABLE = (
    Method("gradcam", "Grad-CAM", True, False, "Mean gradient times activation (Selvaraju 2017)."),
    Method("hirescam", "HiResCAM", True, False, "Gradient times activation, cell by cell (Draelos 2020)."),
    Method("layercam", "LayerCAM", True, False, "Positive gradients times activation, cell by cell (Jiang 2021)."),
    Method("xgradcam", "XGrad-CAM", True, False, "Gradients weighted by activation (Fu 2020)."),
    Method("gradcam++", "Grad-CAM++", False, False, "Higher-order gradient weights (Chattopadhay 2018)."),
    Method("eigencam", "Eigen-CAM", False, False, "First principal component; ignores the class (Muhammad 2020)."),
    Method("eigengradcam", "Eigen-Grad-CAM", False, False, "First principal component of gradient times activation."),
    Method("ablationcam", "Ablation-CAM", False, True, "Each channel removed in turn (Desai 2020)."),
    Method("scorecam", "Score-CAM", False, True, "Each channel as a mask on the image (Wang 2020)."),
)
#: Every method by name, in the order to offer them.
METHODS: dict[str, Method] = {m.name: m for m in _TABLE}


def method_named(name: str) -> Method:
    """The row of METHODS. Raises OptionError listing the names there are."""
    if name not in METHODS:
        raise OptionError(f"There is no explanation method '{name}'. Choose one of: {', '.join(METHODS)}.")
    return METHODS[name]
