"""Where things lie: the repository, its examples and recipes, and the shared data beside it (which may be absent)."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "assets" / "examples"
RECIPES = ROOT / "training" / "recipes"
SHARED = ROOT.parent / "shared" / "data"
