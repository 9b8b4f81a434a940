"""The notebook on whole volumes runs from its first cell to its last on phantoms, and is committed without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from strokenext.record.config import load_config
from tests.helpers.places import ROOT

NOTEBOOK = ROOT / "training" / "volumes" / "tutorial.ipynb"
#: Executes the code cells in one namespace, as a notebook does; figures are drawn and thrown away.
RUN = """
import json, sys
import matplotlib
matplotlib.use("agg")
space = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), space)
"""


def notebook() -> dict:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def test_it_holds_no_output_and_explains_every_step() -> None:
    book = notebook()
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert all(cell["outputs"] == [] for cell in book["cells"] if cell["cell_type"] == "code")
    assert all(cell["execution_count"] is None for cell in book["cells"] if cell["cell_type"] == "code")
    kinds = [cell["cell_type"] for cell in book["cells"]]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") >= kinds.count("code")
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")


def test_it_runs_top_to_bottom_on_phantoms(tmp_path: Path) -> None:
    around = os.environ | {
        "STROKENEXT_TUTORIAL": "phantoms",
        "STROKENEXT_TUTORIAL_FOLDER": str(tmp_path / "work"),
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(NOTEBOOK)],
        cwd=NOTEBOOK.parent,
        env=around,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = load_config(tmp_path / "work" / "cnn3d-tutorial")
    assert made.planes is not None
    assert made.preprocess.size == 48
    assert any(name.startswith("held-back patients") for name in made.metrics)
    assert "slices read at once, as 46 planes" in done.stdout
