"""The explanation checks of the results tree, inside result files and beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tree import Material, record_title

#: Explanation checks in the order of a table: key of the summary, and what it says.
CHECKS = {
    "hit": "pointing game",
    "hit_minus_control": "… minus centre prior",
    "energy": "energy in the mask",
    "energy_minus_control": "… minus centre prior",
    "mask_share": "mask's share of the head",
    "ratio": "heat in the lesion over the rest of the brain, median",
    "control_ratio": "… of the centre prior",
    "outside": "heat outside the head",
    "flip": "mirrored, rank correlation",
    "randomised": "weights shuffled, rank correlation",
    "deletion": "deletion (low is good)",
    "random_deletion": "deletion at random",
    "insertion": "insertion (high is good)",
}


def explained(material: Material) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and summary of every explanation check: those inside result files, then those in files of their own."""
    kept = [e for e in material.entries if e.result.extra.get("explanation") and not e.random]
    rows = [(f"{e.title}, {e.task}, {e.where}", e.result.extra["explanation"]) for e in kept]
    for name, values in material.explanations.items():
        summary = values.get("explanation") or (values.get("extra") or {}).get("explanation") or values
        if any(k in summary for k in CHECKS):
            rows.append((record_title(name, values), summary))
    return rows


def drawn_lesions(material: Material) -> list[str]:
    """A sentence per model whose heat was looked at on drawn heads with a lesion."""
    lines = []
    for name, values in material.explanations.items():
        for kind, ratios in (values.get("phantoms") or {}).items():
            kept = sorted(v for v in ratios if v is not None)
            if kept:
                lines.append(
                    f"{record_title(name, values)}: on {len(kept)} drawn heads with {kind}, heat in the lesion is "
                    f"{kept[0]:.2f} to {kept[-1]:.2f} times that in the rest of the brain."
                )
    return lines
