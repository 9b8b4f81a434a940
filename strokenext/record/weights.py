"""Verified files to a network that answers as recorded, and back: safetensors only, strict.

One layout everywhere: `model.safetensors`, `config.json` (`ModelConfig`) and `README.md`, the model card. Loading
checks the checksum, every name, shape and number, and the stored reference output. Where the files come from is
the job of `find`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strokenext import zoo
from strokenext.errors import ModelError, ModelMismatchError, ModelNotFoundError, OptionError
from strokenext.models import build
from strokenext.saving import write_files
from strokenext.types import FloatArray

from .config import CARD, CONFIG, WEIGHTS, ModelConfig, load_config

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Allowed difference of a reference logit, absolute and relative; different CPUs agree to about 1e-5.
REFERENCE_TOLERANCE = 1e-3
#: Stored types of a tensor with decimals; all become float32 in the network.
FLOAT_TYPES = {"F16", "BF16", "F32"}


def reference_input(channels: int = 3, size: int = 224, depth: int | None = None) -> FloatArray:
    """(channels, size, size) float32 in -1..1, or (channels, depth, size, size): the same numbers on every machine.

    A closed formula of sines (computed in float64), because random generators differ between versions.
    """
    sides = (size, size) if depth is None else (depth, size, size)
    axes = np.meshgrid(*[np.arange(side) / side for side in sides], indexing="ij")
    ramp = 2 * np.pi * sum((k + 2) * axis for k, axis in enumerate(axes))
    ripple = 10 * np.pi * np.prod(axes, axis=0)
    planes = [np.sin(ramp + c) * np.cos(ripple + c / 4) for c in range(channels)]
    return np.stack(planes).astype(np.float32)


def reference_shape(config: ModelConfig) -> tuple[int, ...]:
    """Shape of one input without the batch: the preprocessing's size, and a volume's planes before it."""
    depth = () if config.planes is None else (config.planes.depth,)
    return (zoo.row(config.architecture).channels, *depth, config.preprocess.size, config.preprocess.size)


def save_model(folder: str | Path, model: nn.Module, config: ModelConfig, card: str, half: bool = True) -> ModelConfig:
    """Write the three files into `folder` and return the record with its checksum and reference output.

    `half` stores matrices and kernels in float16 (vectors such as norms and biases stay float32); the reference
    output is that of the stored numbers. Each file replaces its predecessor in one step, all after all are written.
    Raises ModelMismatchError when the model is not the one that `config` describes, and OptionError when its numbers
    are not finite. The model itself is left as found.
    """
    from safetensors.torch import save

    tensors = {name: _stored(name, t, half) for name, t in model.state_dict().items()}
    _check_shapes({n: tuple(t.shape) for n, t in tensors.items()}, _skeleton(config), Path(folder))
    data = save(tensors, metadata={"format": "pt"})
    network = _network(config)
    _fill(network, tensors)
    written = config.with_weights(hashlib.sha256(data).hexdigest(), _reference_output(network, config))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_files({folder / WEIGHTS: data, folder / CARD: card, folder / CONFIG: written.to_json()})
    return written


def load_model(folder: str | Path, device: str = "cpu") -> tuple[nn.Module, ModelConfig]:
    """The network of a model folder on `device`, with its record. Raises what `load_network` does."""
    config = load_config(folder)
    return load_network(Path(folder), config).to(device), config


def load_network(folder: Path, config: ModelConfig) -> nn.Module:
    """The network that the folder's record describes, in evaluation mode and float32, on the CPU.

    Raises ModelMismatchError when checksum, names, shapes or reference output disagree with the record, and
    ModelError when the files cannot be understood.
    """
    from safetensors.torch import load_file

    if not config.weights_sha256 or not config.reference_logits:
        raise ModelError(f"The record in {folder} has no checksum or no reference output, so it cannot be verified.")
    _check_sum(folder, config)
    _check_shapes(_header(folder / WEIGHTS), _skeleton(config), folder)
    network = _network(config)
    _fill(network, load_file(folder / WEIGHTS, device="cpu"))
    _check_reference(network, config, folder)
    return network


def _skeleton(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network the record describes, without memory for a single number."""
    import torch

    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in _build(config).state_dict().items()}


def _network(config: ModelConfig) -> nn.Module:
    """The network on the CPU, in evaluation mode; the caller's random numbers are not used up."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return _build(config).float().eval()


def _build(config: ModelConfig) -> nn.Module:
    try:
        return build(config.architecture, classes=len(config.classes), **config.arguments)
    except ModelNotFoundError as error:
        raise ModelError(
            f"The model '{config.name}' needs the architecture '{config.architecture}', which this version of "
            f"StrokeNeXt does not have. Update StrokeNeXt. {error}"
        ) from error
    except (OptionError, RuntimeError) as error:
        raise ModelError(f"The model '{config.name}' records options that cannot be built: {error}") from error


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    """The tensor as it goes into the file: on the CPU, contiguous, float32 or float16, never sharing memory."""
    import torch

    tensor = tensor.detach().to("cpu", copy=True).contiguous()
    if not tensor.is_floating_point():
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise OptionError(f"The weights '{name}' hold numbers that are not finite; such a model is not saved.")
    short = tensor.half()
    fits = half and tensor.ndim >= 2 and bool(torch.isfinite(short).all())
    return short if fits else tensor.float()


def _check_sum(folder: Path, config: ModelConfig) -> None:
    try:
        with open(folder / WEIGHTS, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The file {folder / WEIGHTS} cannot be read ({error.strerror}).") from error
    if digest != config.weights_sha256:
        raise ModelMismatchError(
            f"The weights in {folder} are not the ones their record describes: the checksum differs. "
            "Delete the folder and download or copy it again."
        )


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in the file, read without loading them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            odd = [n for n, s in slices.items() if s.get_dtype() not in FLOAT_TYPES and s.get_shape() != []]
            if odd:
                raise ModelMismatchError(f"The tensor '{odd[0]}' in {path} is not stored as floating-point numbers.")
            return {name: tuple(s.get_shape()) for name, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}).") from error


def _check_shapes(shapes: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], folder: Path) -> None:
    problems = [
        *(f"'{n}' is missing" for n in sorted(wanted.keys() - shapes.keys())),
        *(f"'{n}' is not part of the network" for n in sorted(shapes.keys() - wanted.keys())),
        *(f"'{n}' is {shapes[n]} instead of {s}" for n, s in wanted.items() if n in shapes and shapes[n] != s),
    ]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ModelMismatchError(
            f"The tensors for {folder} do not fit the architecture in its record: {problems[0]}{more}."
        )


def _fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy the tensors in, converting to the network's types. Raises ModelMismatchError on NaN or infinity."""
    import torch

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelMismatchError(f"The weights '{name}' hold numbers that are not finite; the model is refused.")
    network.load_state_dict(tensors, strict=True)


def _reference_output(network: nn.Module, config: ModelConfig) -> tuple[float, ...]:
    """Outputs for the reference input: the logits, or the means of the four quarters of a segmentation's maps."""
    import torch

    channels, *depth, size, _ = reference_shape(config)
    x = torch.from_numpy(reference_input(channels, size, *depth))[None]
    with torch.no_grad():
        output = network(x)
    if output.ndim == 4:
        output = torch.nn.functional.adaptive_avg_pool2d(output, 2)
    return tuple(float(v) for v in output.flatten())


def _check_reference(network: nn.Module, config: ModelConfig, folder: Path) -> None:
    output = np.asarray(_reference_output(network, config))
    wanted = np.asarray(config.reference_logits)
    if output.shape != wanted.shape or not np.allclose(
        output, wanted, rtol=REFERENCE_TOLERANCE, atol=REFERENCE_TOLERANCE
    ):
        raise ModelMismatchError(
            f"The model in {folder} does not give its recorded reference output "
            f"({np.round(wanted, 4).tolist()}, here {np.round(output, 4).tolist()}), so its answers cannot be trusted."
        )
