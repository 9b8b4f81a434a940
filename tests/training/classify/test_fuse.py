"""What fusing asks of the head besides the class: evidence cell by cell, and heat that lies in the lesion."""

from __future__ import annotations

import pytest
import torch

from strokenext.explain.gradcam import heat
from strokenext.models.strokenext import Encoder, StrokeNeXt
from training.classify.dense import DenseEncoder
from training.classify.fuse import Pair, cell_loss, heat_loss


def lesion(channel: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A lesion in the upper left of four cells, in the plane of infarct (0) or blood (1); everything is known."""
    dense = torch.zeros(1, 2, 8, 8)
    dense[0, channel, :4, :4] = 1
    return dense, torch.ones_like(dense)


def margins(*values: float) -> torch.Tensor:
    """(1, 2, 2, 2) cell logits with these margins, positive minus negative."""
    cells = torch.zeros(1, 2, 2, 2)
    cells[0, 1] = torch.tensor(values).reshape(2, 2)
    return cells


@pytest.mark.parametrize("channel", [0, 1])
def test_presence_wants_evidence_in_the_lesion_and_none_elsewhere(channel: int) -> None:
    dense, known = lesion(channel)
    right = cell_loss(margins(9, -9, -9, -9), dense, known, "presence")
    wrong = cell_loss(margins(-9, 9, 9, 9), dense, known, "presence")
    assert right < 0.001
    assert wrong == pytest.approx(9.0, abs=0.01)


def test_subtype_wants_blood_positive_infarct_negative_and_the_rest_undecided() -> None:
    for channel, margin in ((1, 9.0), (0, -9.0)):
        dense, known = lesion(channel)
        good = cell_loss(margins(margin, 0, 0, 0), dense, known, "subtype")
        # Three undecided cells cost log 2 each at best; the lesion weighs as much as they do together.
        assert good == pytest.approx(0.5 * 0.6931, abs=0.001)
        assert cell_loss(margins(-margin, 0, 0, 0), dense, known, "subtype") > good + 4
        assert cell_loss(margins(margin, 9, 9, 9), dense, known, "subtype") > good + 1


def test_cells_whose_truth_is_unknown_do_not_count() -> None:
    dense, known = lesion(1)
    known[..., 4:] = 0
    a = cell_loss(margins(9, 50, -9, 50), dense, known, "presence")
    b = cell_loss(margins(9, -50, -9, -50), dense, known, "presence")
    assert a == b


def test_asking_about_cells_changes_no_running_statistic() -> None:
    torch.manual_seed(0)
    pair = Pair(DenseEncoder(Encoder("atto", layer_scale=0.5))).train()
    norms = [m for m in pair.model.fusion.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    x = torch.randn(4, 3, 64, 64)
    state = torch.get_rng_state()
    pair(x)
    plain = [m.running_mean.clone() for m in norms if m.running_mean is not None]
    for m in norms:
        m.reset_running_stats()
    torch.set_rng_state(state)
    logits, drawn, cells, _ = pair(x, False, True)
    assert all(torch.equal(a, m.running_mean) for a, m in zip(plain, norms, strict=True) if m.running_mean is not None)
    assert logits.shape == (4, 2)
    assert drawn == []
    assert cells is not None
    assert cells.shape == (4, 2, 2, 2)
    assert all(m.training for m in norms)


def pair_of_two() -> Pair:
    """A pair whose encoders differ, as after the first update that reaches them."""
    torch.manual_seed(0)
    pair = Pair(DenseEncoder(Encoder("atto", layer_scale=0.5)))
    with torch.no_grad():
        for p in pair.model.encoder_b.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return pair


@pytest.mark.parametrize("shown", [0, 1])
def test_the_heat_that_is_learned_is_the_heat_that_a_reader_sees(shown: int) -> None:
    pair = pair_of_two()
    x = torch.randn(1, 3, 64, 64)
    learned = pair(torch.cat([x, x.flip(3)]), heat_of=torch.tensor([shown, 1 - shown]))[3]  # in training mode
    assert isinstance(pair.model, StrokeNeXt)
    seen = heat(pair.model, x, shown)[1].sum(axis=0)
    assert seen.max() > 0
    # Grad-CAM means the gradient over the cells; the loss leaves that constant away: 4 cells.
    torch.testing.assert_close(learned[0].detach() / 4, torch.from_numpy(seen), rtol=1e-4, atol=1e-7)


def test_heat_can_be_learned_and_leaves_the_head_in_training() -> None:
    pair = pair_of_two().train()
    dense, known = lesion(1)
    found = pair(torch.randn(2, 3, 64, 64), heat_of=torch.tensor([1, 1]))[3]
    heat_loss(found, dense.repeat(2, 1, 1, 1), known.repeat(2, 1, 1, 1)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pair.model.fusion[0].parameters() if p.ndim > 1)
    assert pair.model.fusion.training
    assert pair.model.classifier.training


def test_heat_inside_the_lesion_costs_nothing_and_elsewhere_or_nowhere_much() -> None:
    dense, known = lesion(0)
    inside, outside = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    inside[0, 0, 0] = outside[0, 1, 1] = 5.0
    assert heat_loss(inside, dense, known) < 0.01
    assert heat_loss(outside, dense, known) > 4
    assert heat_loss(torch.zeros(1, 2, 2), dense, known) > 4
    assert heat_loss(inside + outside, dense, known) == pytest.approx(0.6931, abs=0.01)


def test_heat_where_nothing_is_known_or_nothing_to_find_costs_nothing() -> None:
    dense, known = lesion(0)
    hidden = known.clone()
    hidden[..., 4:, 4:] = 0
    spread = torch.zeros(1, 2, 2)
    spread[0, 0, 0], spread[0, 1, 1] = 5.0, 50.0
    assert heat_loss(spread, dense, hidden) < 0.01
    assert heat_loss(spread, torch.zeros_like(dense), known) == 0


def test_frozen_twins_are_asked_once_with_the_answer_of_both() -> None:
    torch.manual_seed(0)
    pair = Pair(DenseEncoder(Encoder("atto", layer_scale=0.5))).train()
    calls: list[object] = []
    for encoder in (pair.model.encoder_a, pair.model.encoder_b):
        encoder.stem.register_forward_hook(lambda *a: calls.append(a[0]))
    x, state = torch.randn(4, 3, 64, 64), torch.get_rng_state()
    both = pair(x)[0]
    pair.frozen = True
    torch.set_rng_state(state)
    torch.testing.assert_close(pair(x)[0], both)
    assert len(calls) == 3
    pair.eval()(x)  # what is scored is asked in full, whatever the training says
    assert len(calls) == 5


def test_two_starts_stay_two_while_the_head_alone_learns() -> None:
    torch.manual_seed(0)
    a, b = DenseEncoder(Encoder("atto", layer_scale=0.5)), DenseEncoder(Encoder("atto", layer_scale=0.5))
    x = torch.randn(2, 3, 64, 64)
    for pair, alike in ((Pair(a, b), False), (Pair(a), True)):
        pair.train().frozen = True
        head = pair.model.head
        last: list[tuple[torch.Tensor, ...]] = []
        pair.model.head = lambda features, kept=last, head=head: kept.append(features) or head(features)
        pair(x)
        assert torch.equal(*last[0]) is alike
