"""Which device is chosen, and that a GPU answers as the CPU does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from strokenext.answer import device
from strokenext.errors import DeviceError
from strokenext.slice.predictor import Predictor
from tests.helpers.toy import Fixed, config, head

pytestmark = pytest.mark.usefixtures("gate")


def test_devices_that_are_not_there() -> None:
    with pytest.raises(DeviceError, match="auto, cuda, mps, cpu"):
        device.choose("tpu")
    with pytest.raises(DeviceError, match="is not there"):
        device.choose("cuda:99")
    if not torch.backends.mps.is_available():
        with pytest.raises(DeviceError, match="cpu"):
            Predictor(Fixed(0.0), config(), "mps")
    assert device.choose("cpu") == torch.device("cpu")
    assert device.choose("auto").type == device.available()[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_gpu_agrees_with_cpu() -> None:
    """Mixed precision against float32 on the CPU: probabilities within 0.01, heat within 2 % of its scale."""
    from strokenext.models import build

    torch.manual_seed(0)
    network = build("strokenext_atto", layer_scale=0.5)
    here = Predictor(network, config(preprocess=replace(config().preprocess, size=224)), "cpu")
    cpu = here.predict(head())
    there = Predictor(network, here.config, "cuda")
    gpu = there.predict(head())
    assert gpu.provenance.precision == "float16 mixed"
    assert gpu.probability == pytest.approx(cpu.probability, abs=0.01)
    assert cpu.heat is not None
    assert gpu.heat is not None
    np.testing.assert_allclose(gpu.heat.maps, cpu.heat.maps, atol=0.02 * max(cpu.heat.peak, 0.1))
