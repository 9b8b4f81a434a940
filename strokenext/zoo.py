"""One row of data per model: what it is, who builds it, how large it is, where it comes from. No torch here.

A new model is a new row; the contract test in `tests/strokenext/models/test_zoo.py` runs over every row.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal

from .errors import ModelNotFoundError

InputKind = Literal["slice", "volume", "segmentation"]

#: Shapes of one input without the batch: (channels, height, width), or (channels, depth, height, width).
RGB_224 = (3, 224, 224)
RGB_256 = (3, 256, 256)
VOLUME = (1, 64, 128, 128)


@dataclass(frozen=True)
class ModelRow:
    """An architecture, not a checkpoint. `params` counts the parameters with `classes` outputs.

    `builder` is "module:function"; `arguments` are its keyword arguments; `short` is the title in tables, where that
    is shorter. `accuracy_presence` and `accuracy_subtype` are the published figures (arXiv 2602.15087, image-level
    split), None where there are none.
    """

    name: str
    title: str
    builder: str
    params: int
    source: str
    licence: str = "Apache-2.0"
    arguments: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    kind: InputKind = "slice"
    input_shape: tuple[int, ...] = RGB_224
    classes: int = 2
    encoders: tuple[str, ...] = ("A",)
    paper: bool = False
    accuracy_presence: float | None = None
    accuracy_subtype: float | None = None
    short: str = ""

    @property
    def input_size(self) -> int:
        """Side of the (square) input in pixels the row was counted and published with."""
        return self.input_shape[-1]

    @property
    def channels(self) -> int:
        """Channels of one input."""
        return self.input_shape[0]

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, without `short`."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "short"}
        return shown | {"arguments": dict(self.arguments)}


def _strokenext(size: str, params: int, presence: float | None = None, subtype: float | None = None) -> ModelRow:
    return ModelRow(
        name=f"strokenext_{size}",
        title=f"StrokeNeXt {size}",
        builder="strokenext.models.strokenext:strokenext",
        arguments=MappingProxyType({"encoder": size}),
        params=params,
        source="Ramos and Sappa, StrokeNeXt, arXiv 2602.15087; encoders of Liu et al., arXiv 2201.03545, from timm",
        encoders=("A", "B"),
        paper=presence is not None,
        accuracy_presence=presence,
        accuracy_subtype=subtype,
    )


def _baseline(name: str, title: str, params: int, source: str, presence: float, subtype: float) -> ModelRow:
    """A single-encoder baseline of the paper, built by the function of its own name."""
    return ModelRow(
        name=name,
        title=title,
        builder=f"strokenext.models.baselines:{name}",
        params=params,
        source=f"{source}, from timm",
        paper=True,
        accuracy_presence=presence,
        accuracy_subtype=subtype,
    )


_ROWS: tuple[ModelRow, ...] = (
    _strokenext("atto", 7_139_442),
    _strokenext("femto", 10_207_522),
    _strokenext("pico", 17_984_130),
    _strokenext("nano", 31_299_042),
    _strokenext("tiny", 57_607_618, 0.978, 0.986),
    _strokenext("small", 100_876_738, 0.980, 0.987),
    _strokenext("base", 178_542_082, 0.982, 0.988),
    _strokenext("large", 399_933_058, 0.987, 0.987),
    ModelRow(
        name="strokenext_lite",
        title="StrokeNeXt lite",
        builder="strokenext.models.strokenext:strokenext",
        arguments=MappingProxyType({"encoder": "lite0"}),
        params=6_309_378,
        source="Fusion and classifier of Ramos and Sappa, StrokeNeXt, arXiv 2602.15087, over two EfficientNet-Lite0 "
        "encoders of Tan and Le, arXiv 1905.11946, from timm",
        encoders=("A", "B"),
    ),
    _baseline("mobilenetv2", "MobileNetV2", 2_226_434, "Sandler et al., arXiv 1801.04381", 0.868, 0.843),
    _baseline("vgg16", "VGG16", 134_268_738, "Simonyan and Zisserman, arXiv 1409.1556", 0.894, 0.892),
    _baseline("resnet50", "ResNet50", 23_512_130, "He et al., arXiv 1512.03385", 0.856, 0.807),
    _baseline("resnet152", "ResNet152", 58_147_906, "He et al., arXiv 1512.03385", 0.846, 0.791),
    _baseline("swin_tiny", "Swin Transformer tiny", 27_520_892, "Liu et al., arXiv 2103.14030", 0.893, 0.796),
    _baseline("convnext_base", "ConvNeXt base", 87_568_514, "Liu et al., arXiv 2201.03545", 0.875, 0.852),
    ModelRow(
        name="resnet10t",
        title="ResNet-10 with batch norm (teacher)",
        short="ResNet-10",
        builder="strokenext.models.baselines:resnet10t",
        params=4_923_514,
        source="timm's resnet10t, after He et al., arXiv 1512.03385",
    ),
    ModelRow(
        name="resnet50_frozen",
        title="ResNet-50, frozen layers and a new head",
        short="ResNet-50, frozen layers",
        builder="strokenext.models.baselines:resnet50_frozen",
        params=24_033_090,
        source="He et al., arXiv 1512.03385, from timm; transfer learning with a new two-layer head",
    ),
    ModelRow(
        name="custom_cnn",
        title="Custom CNN with batch norm and dropout",
        short="Custom CNN",
        builder="strokenext.models.small:custom_cnn",
        params=1_206_370,
        source="The common hemorrhagic-versus-ischemic PyTorch CNN, written anew",
    ),
    ModelRow(
        name="small_cnn",
        title="Small CNN (183,682 parameters)",
        short="Small CNN",
        builder="strokenext.models.small:small_cnn",
        params=183_682,
        source="The common six-convolution Keras CNN, written anew",
        input_shape=RGB_256,
    ),
    ModelRow(
        name="cnn3d",
        title="3-D CNN for volumes",
        short="3-D CNN",
        builder="strokenext.models.volume:cnn3d",
        params=1_352_386,
        source="The Keras 3-D CT classification layout, after Zunair et al., arXiv 2007.13224, written anew",
        kind="volume",
        input_shape=VOLUME,
    ),
    ModelRow(
        name="unet",
        title="U-Net for lesion masks",
        short="U-Net",
        builder="strokenext.models.unet:unet",
        params=7_849_601,
        source="Ronneberger et al., arXiv 1505.04597, with batch norm and padded convolutions",
        kind="segmentation",
        input_shape=RGB_256,
        classes=1,
    ),
    ModelRow(
        name="unet_lite",
        title="U-Net over EfficientNet-Lite0 for lesion masks",
        short="U-Net lite",
        builder="strokenext.models.unet:encoder_unet",
        arguments=MappingProxyType({"encoder": "lite0"}),
        params=3_836_689,
        source="Ronneberger et al., arXiv 1505.04597, down through an EfficientNet-Lite0 of Tan and Le, arXiv "
        "1905.11946, from timm",
        kind="segmentation",
        input_shape=RGB_256,
        classes=1,
    ),
)

_BY_NAME: Mapping[str, ModelRow] = MappingProxyType({r.name: r for r in _ROWS})


def list_models(kind: InputKind | None = None) -> list[ModelRow]:
    """Every row, or those of one kind ("slice", "volume", "segmentation"), StrokeNeXt first."""
    return [r for r in _ROWS if kind is None or r.kind == kind]


def row(name: str) -> ModelRow:
    """The row of that name. Raises ModelNotFoundError with the closest names there are."""
    entry = _BY_NAME.get(name)
    if entry is not None:
        return entry
    close = difflib.get_close_matches(str(name).lower().replace("-", "_"), _BY_NAME, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Choose one of: {', '.join(_BY_NAME)}."
    raise ModelNotFoundError(f"No architecture is called '{name}'. {hint}")
