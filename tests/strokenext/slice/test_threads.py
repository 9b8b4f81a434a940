"""One predictor, many threads: no answer may depend on who else is asking."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from strokenext.explain.methods import METHODS
from strokenext.slice.prediction import Prediction
from strokenext.slice.predictor import Predictor
from tests.helpers.toy import head, predictor

CALLS, THREADS = 24, 8
pytestmark = pytest.mark.usefixtures("gate")


def _same(one: Prediction, other: Prediction) -> bool:
    assert one.heat is not None
    assert other.heat is not None
    return one.logits == other.logits and np.array_equal(one.heat.maps, other.heat.maps)


@pytest.mark.parametrize("method", METHODS)
def test_concurrent_predictions_equal_serial_ones(method: str) -> None:
    """24 calls in 8 threads, every second one for the other class: bit-equal, zero wrong maps."""
    model = predictor()
    count = 8 if METHODS[method].slow else CALLS
    jobs = [(head(i), model.classes[i % 2]) for i in range(count)]

    def run(job: tuple[object, str]) -> Prediction:
        return model.predict(job[0], method=method, target=job[1])

    serial = [run(job) for job in jobs]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(run, jobs))
    assert sum(not _same(a, b) for a, b in zip(serial, together, strict=True)) == 0


def test_methods_mixed_between_threads() -> None:
    model = predictor()
    fast = [m.name for m in METHODS.values() if not m.slow]
    jobs = [(head(i), fast[i % len(fast)]) for i in range(CALLS)]
    serial = [model.predict(image, method=method) for image, method in jobs]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda job: model.predict(job[0], method=job[1]), jobs))
    assert all(_same(a, b) for a, b in zip(serial, together, strict=True))


def test_two_predictors_of_one_network_record_share_nothing() -> None:
    models: list[Predictor] = [predictor(log_odds=2.0), predictor(log_odds=-2.0)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: models[i % 2].predict(head(), explain=False).logit, range(CALLS)))
    assert found[::2] == pytest.approx([2.0] * 12, abs=1e-4)
    assert found[1::2] == pytest.approx([-2.0] * 12, abs=1e-4)
