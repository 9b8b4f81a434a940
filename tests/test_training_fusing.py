"""The loss that asks the head about each cell: small where evidence lies in the lesion, blind to the unknown."""

from __future__ import annotations

import pytest
import torch

from strokenext.models.strokenext import Encoder
from training.dense import DenseEncoder
from training.fusing import Pair, cell_loss


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
    logits, drawn, cells = pair(x, False, True)
    assert all(torch.equal(a, m.running_mean) for a, m in zip(plain, norms, strict=True) if m.running_mean is not None)
    assert logits.shape == (4, 2)
    assert drawn == []
    assert cells is not None
    assert cells.shape == (4, 2, 2, 2)
    assert all(m.training for m in norms)
