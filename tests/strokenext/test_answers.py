"""The bundled models' answers on the bundled examples, against those stored: a change of code changes no answer.

`python tests/strokenext/test_answers.py > tests/strokenext/answers.json` stores the answers of the code on the path.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import strokenext

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
STORED = Path(__file__).with_name("answers.json")
TASKS = ("presence", "subtype")
NAMES = [f.name for f in sorted(EXAMPLES.iterdir()) if f.suffix in (".dcm", ".png", ".zip")]
#: Of a number in float32; other processors differ in the last bits.
TOLERANCE = 1e-5


def slice_answer(found: strokenext.Prediction) -> dict[str, Any]:
    """What a reader sees, with the evidence (E, h, w) in logit units."""
    assert found.heat is not None
    return {
        "gate": found.gate.code,
        "label": found.label,
        "decision": found.decision,
        "probability": found.probability,
        "logits": found.logits,
        "interval": found.interval,
        "similar": found.similar,
        "heat": found.heat.maps.tolist(),
        "class": found.heat.class_name,
        "full_scale": found.heat.full_scale,
    }


def answer(predictor: Any, name: str) -> dict[str, Any]:
    """The answer about one example as plain JSON values; every slice is answered, inside the model's scope or not."""
    image = strokenext.read_any(EXAMPLES / name)
    if isinstance(image, strokenext.Slice):
        return slice_answer(predictor.predict(image, force=True))
    series = predictor.predict_volume(image, explain=True, force=True)
    whole = {"decision": series.decision, "probability": series.probability, "peak": series.peak}
    return whole | {"slices": [slice_answer(found) for found in series.slices]}


@pytest.fixture(scope="module")
def stored() -> dict[str, dict[str, Any]]:
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=TASKS)
def predictor(request: pytest.FixtureRequest) -> Any:
    return strokenext.load(task=request.param, device="cpu")


def compare(found: Any, wanted: Any, where: str) -> None:
    """Numbers within TOLERANCE, cell by cell; anything else equal."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for key, value in wanted.items():
            compare(found[key], value, f"{where} {key}")
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        assert len(found) == len(wanted), where
        for number, value in enumerate(wanted):
            compare(found[number], value, f"{where} {number}")
    elif isinstance(wanted, float | list):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE, err_msg=where)
    else:
        assert found == wanted, where


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_stored_one(predictor: Any, stored: dict[str, dict[str, Any]], name: str) -> None:
    compare(answer(predictor, name), stored[predictor.task][name], f"{predictor.task} of {name}:")


def test_every_example_is_stored(stored: dict[str, dict[str, Any]]) -> None:
    assert [list(stored[task]) for task in TASKS] == [NAMES, NAMES]


if __name__ == "__main__":
    table = {}
    for task in TASKS:
        model = strokenext.load(task=task, device="cpu")
        table[task] = {name: answer(model, name) for name in NAMES}
    rounded = json.loads(json.dumps(table), parse_float=lambda text: float(f"{float(text):.9g}"))
    sys.stdout.write(json.dumps(rounded, separators=(",", ":")).replace('},"', '},\n"') + "\n")
