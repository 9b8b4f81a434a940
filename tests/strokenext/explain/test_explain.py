"""The Grad-CAM identities, on a hand-made pair of encoders whose maps can be worked out on paper."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from strokenext.errors import ModelError, OptionError
from strokenext.explain import gradcam as explain
from strokenext.explain.gradcam import encode, heat, maps
from strokenext.explain.methods import METHODS
from strokenext.models import build
from strokenext.zoo import ModelRow, list_models
from tests.helpers.toy import Pair

#: The larger ones are the same code with more layers and would only make the test slow.
LIGHT = [row for row in list_models("slice") if row.params < 30_000_000]
FAST = [m.name for m in METHODS.values() if not m.slow]


@pytest.fixture
def model() -> Pair:
    return Pair().eval()


def image(seed: int = 1, size: int = 32) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def full_graph(model: Pair, x: Tensor, index: int) -> tuple[np.ndarray, list[Tensor], list[Tensor]]:
    """Grad-CAM by the book: back through the whole graph to the retained maps."""
    kept = model.features(x)
    for f in kept:
        f.retain_grad()
    model.head(kept)[0, index].backward()
    found = [torch.relu((f.grad.mean((2, 3), keepdim=True) * f).sum(1))[0] for f in kept]
    grads = [f.grad.clone() for f in kept]
    model.zero_grad(set_to_none=True)
    return torch.stack(found).detach().numpy(), [f.detach() for f in kept], grads


@pytest.mark.parametrize("index", [0, 1])
def test_equals_full_graph_gradcam(model: Pair, index: int) -> None:
    for seed in range(5):
        logits, found = heat(model, image(seed), index)
        wanted, *_ = full_graph(model, image(seed), index)
        assert found.shape == (2, 4, 4)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        np.testing.assert_allclose(logits, model(image(seed))[0].detach().numpy(), atol=1e-6)
    assert wanted.max() > 1e-3  # the comparison above was of something


def test_cells_of_a_linear_head_add_up_to_the_logit() -> None:
    """One channel, head = 3 * mean: a 2x2 map (0, 1, 2, 5) contributes 3/4 of each cell."""

    class One(nn.Module):
        def features(self, x: Tensor) -> tuple[Tensor]:
            return (x[:, :1],)

        def head(self, features: tuple[Tensor]) -> Tensor:
            mean = features[0].mean((2, 3))
            return torch.cat([-3 * mean, 3 * mean], 1)

    x = torch.tensor([[0.0, 1.0], [2.0, 5.0]]).expand(1, 3, 2, 2)
    logits, found = heat(One(), x, 1)
    np.testing.assert_allclose(found[0], [[0, 0.75], [1.5, 3.75]], atol=1e-6)
    assert found.sum() == pytest.approx(logits[1])
    assert not heat(One(), x, 0)[1].any()  # evidence against a class is no heat for it


def test_an_encoder_that_says_little_shows_little(model: Pair) -> None:
    """Encoder B scaled to a thousandth carries a thousandth of the heat; nothing stretches it back."""
    _, before = heat(model, image(), 1)
    with torch.no_grad():
        model.b[2].weight *= 1e-3
        model.b[2].bias *= 1e-3
        model.norm.running_mean[6:] *= 1e-3
    linear = copy.deepcopy(model)
    linear.fc = nn.Linear(12, 2)
    torch.manual_seed(3)
    with torch.no_grad():
        linear.fc.weight.copy_(torch.ones(2, 12))
    _, after = heat(linear, image(), 1)
    assert before.shape == after.shape
    assert after[1].max() < after[0].max() / 100


@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM", "LayerCAM", "XGradCAM", "GradCAMPlusPlus"])
def test_equals_pytorch_grad_cam_after_its_scaling(model: Pair, name: str) -> None:
    """Per encoder, min-max scaled and resized as the library does, ours is the library's own answer."""
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    ours = {"GradCAM": "gradcam", "GradCAMPlusPlus": "gradcam++"}.get(name, name.lower())
    _, found = heat(model, image(), 1, ours)
    assert found.max() > 0
    for i in range(2):
        twin = copy.deepcopy(model)
        with getattr(library, name)(twin, [(twin.a, twin.b)[i][2]]) as cam:
            theirs = cam(image(), [ClassifierOutputTarget(1)])[0]
        mine = scale_cam_image(scale_cam_image(found[i][None], (32, 32)))[0]
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_plain_maps(model: Pair, method: str, capfd: pytest.CaptureFixture[str]) -> None:
    logits, found = heat(model, image(), 1, method)
    assert found.shape == (2, 4, 4)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert found.max() > 0
    assert len(logits) == 2
    again = heat(model, image(), 1, method)[1]
    np.testing.assert_array_equal(found, again)
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == ""


def test_ablation_is_the_drop_of_the_logit(model: Pair) -> None:
    """Weights computed by hand: the logit with everything, less the logit with channel k at zero."""
    whole = encode(model, image())
    _, found = heat(model, image(), 0, "ablationcam")
    with torch.no_grad():
        weights = []
        for k in range(6):
            less = whole.features[0].clone()
            less[:, k] = 0
            weights.append(whole.logits[0, 0] - model.head((less, whole.features[1]))[0, 0])
        wanted = torch.relu((torch.stack(weights)[:, None, None] * whole.features[0][0]).sum(0))
    np.testing.assert_allclose(found[0], wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_caller_is_left_as_found(model: Pair, method: str, training: bool) -> None:
    model.train(training)
    model.a[0].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    heat(model, image(), 1, method)
    assert model.training is training
    assert not model.a[0].weight.requires_grad
    assert model.b[0].weight.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(not m._forward_hooks and not m._backward_hooks and not m._forward_pre_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.is_grad_enabled()


def test_an_existing_gradient_is_not_added_to(model: Pair) -> None:
    model.fc[0].weight.grad = torch.ones_like(model.fc[0].weight)
    heat(model, image(), 1)
    assert torch.equal(model.fc[0].weight.grad, torch.ones_like(model.fc[0].weight))


def test_training_mode_is_explained_in_evaluation_mode(model: Pair) -> None:
    _, wanted = heat(model, image(), 1)
    np.testing.assert_array_equal(heat(model.train(), image(), 1)[1], wanted)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_inside_contexts_without_gradient(model: Pair, context: type) -> None:
    wanted = heat(model, image(), 1)[1]
    with context():
        found = heat(model, image() + 0, 1)[1]
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_a_model_made_in_inference_mode_is_explained() -> None:
    with torch.inference_mode():
        sealed = Pair().eval()
    np.testing.assert_allclose(heat(sealed, image(), 1)[1], heat(Pair().eval(), image(), 1)[1], atol=1e-7)


def test_flipping_the_image_flips_the_map() -> None:
    """On a convolution with a kernel as wide as its stride and mirror-symmetric in x."""
    torch.manual_seed(2)

    class Symmetric(Pair):
        def __init__(self) -> None:
            super().__init__()
            for encoder in (self.a, self.b):
                encoder[0] = nn.Conv2d(3, 6, 4, 4)
                encoder[2] = nn.Conv2d(6, 6, 1)
                with torch.no_grad():
                    weight = encoder[0].weight
                    weight.copy_((weight + weight.flip(3)) / 2)

    model = Symmetric().eval()
    found = heat(model, image(), 1)[1]
    np.testing.assert_allclose(heat(model, image().flip(3), 1)[1], found[:, :, ::-1], atol=1e-6)
    assert not np.allclose(found, found[:, :, ::-1], atol=1e-3)


def test_other_weights_give_another_map() -> None:
    one, other = heat(Pair(0).eval(), image(), 1)[1], heat(Pair(1).eval(), image(), 1)[1]
    assert np.abs(one - other).max() > 1e-2


def test_zero_gradient_is_zero_heat(model: Pair) -> None:
    with torch.no_grad():
        model.fc[3].weight.zero_()
    assert not heat(model, image(), 1)[1].any()
    model.head = lambda features: torch.ones(1, 2)  # type: ignore[method-assign]  # not a function of the features
    assert not heat(model, image(), 1)[1].any()


@pytest.mark.parametrize("method", FAST)
def test_concurrent_calls_equal_serial_ones(model: Pair, method: str) -> None:
    """24 calls in 8 threads, two classes, each bit-equal to the same call alone."""
    jobs = [(image(seed), seed % 2) for seed in range(24)]
    serial = [heat(model, x, index, method)[1] for x, index in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: heat(model, *job, method)[1], jobs))
    wrong = sum(not np.array_equal(a, b) for a, b in zip(serial, together, strict=True))
    assert wrong == 0


@pytest.mark.parametrize("index", [2, -1, True, 1.0, "stroke"])
def test_a_class_that_does_not_exist_is_refused(model: Pair, index: object) -> None:
    with pytest.raises(OptionError, match="0, 1"):
        heat(model, image(), index)  # type: ignore[arg-type]


def test_a_method_that_does_not_exist_is_refused_with_the_list(model: Pair) -> None:
    with pytest.raises(OptionError, match="gradcam, hirescam"):
        heat(model, image(), 1, "smoothgrad")


def test_a_batch_and_numbers_that_are_not_finite_are_refused(model: Pair) -> None:
    with pytest.raises(OptionError, match="one image"):
        heat(model, torch.cat([image(1), image(2)]), 1)
    with pytest.raises(ModelError, match="not finite"):
        heat(model, image() * float("nan"), 1)


def test_a_batch_encoded_once_explains_each_of_its_images(model: Pair) -> None:
    both = torch.cat([image(1), image(2)])
    encoded = encode(model, both)
    for i, seed in enumerate((1, 2)):
        found = maps(model, both[i : i + 1], encoded.one(i), 1)
        np.testing.assert_allclose(found, heat(model, image(seed), 1)[1], atol=1e-6)


def test_the_head_is_differentiated_alone(model: Pair) -> None:
    """One pass of each encoder per explanation, and no graph through it."""
    calls = []
    model.a.register_forward_hook(lambda m, i, o: calls.append(o.requires_grad))
    explain.heat(model, image(), 1)
    assert calls == [False]


@pytest.mark.parametrize("row", LIGHT, ids=lambda row: row.name)
def test_every_architecture_is_explained(row: ModelRow) -> None:
    torch.manual_seed(0)
    model = build(row).eval()
    x = torch.randn(1, *row.input_shape)
    logits, found = heat(model, x, 1)
    assert len(found) == len(row.encoders) == len(model.encoders)
    assert found.ndim == 3
    assert np.isfinite(found).all()
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(x)[0].numpy(), atol=1e-5)
    kept = model.features(x)
    for f in kept:
        f.requires_grad_() if f.is_leaf else f.retain_grad()  # a leaf where the encoder is frozen
    model.head(kept)[0, 1].backward()
    wanted = torch.stack([torch.relu((f.grad.mean((2, 3), keepdim=True) * f).sum(1))[0] for f in kept])
    np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-5)
