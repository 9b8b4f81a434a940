"""The walls between the rooms, read from the imports; and what `import strokenext` loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "strokenext"

#: Earlier groups know nothing of later ones. A module may import from its own group and from those before.
#: `overlay` and `saving` come before `prediction` because a prediction draws and saves itself.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("errors", "types", "version"),
    ("windows", "methods", "saving"),
    ("head", "io", "zoo"),
    ("contour", "preprocess", "planes", "masks"),
    ("models", "gate", "model_config", "hub", "overlay"),
    ("sources", "borrowed", "explain", "weights", "decision", "runtime", "device"),
    ("prediction", "volume_prediction", "segmentation"),
    ("words", "predictor", "volume_model", "segmenter"),
    ("cascade",),
    ("report",),
    ("cli",),
    ("__init__", "__main__"),
)
RANK = {room: rank for rank, rooms in enumerate(GROUPS) for room in rooms}
HEAVY = {
    "strokenext": {"gradio", "fastapi", "starlette", "uvicorn", "demo", "training"},
    "training": {"gradio", "fastapi", "demo"},
    "demo": {"torch", "timm", "torchvision", "training"},
}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, absolute; what is only for the type checker left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {f"{module}.{alias.name}" for alias in node.names} if not node.module or node.level else {module}
            found.add(module)
    return found


def rooms_used(path: Path) -> set[str]:
    """The rooms of the library that a file of the library imports."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("strokenext.") and name.count(".")}
    return {name for name in names if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()}


def test_every_room_has_its_place() -> None:
    rooms = {room_of(path) for path in files("strokenext")}
    assert rooms - set(RANK) == set(), "give the new room a group in this test"


@pytest.mark.parametrize("path", files("strokenext"), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_nothing_flows_back(path: Path) -> None:
    here = room_of(path)
    for used in rooms_used(path) - {here}:
        assert RANK[used] <= RANK[here], f"{here} imports {used}, which comes later"


@pytest.mark.parametrize("folder", HEAVY)
def test_packages_keep_to_themselves(folder: str) -> None:
    for path in files(folder):
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & HEAVY[folder], f"{path.relative_to(ROOT)} imports {sorted(tops & HEAVY[folder])}"


def test_the_imports_of_a_file_are_found(tmp_path: Path) -> None:
    """The test of the test: relative, absolute, nested, and type-checking imports."""
    source = PACKAGE / "cli" / "predict.py"
    assert "cli" in rooms_used(source) or "errors" in rooms_used(source)
    assert {"overlay", "saving", "types"} <= rooms_used(PACKAGE / "prediction.py")
    assert "predictor" in rooms_used(PACKAGE / "cascade.py")
    assert "explain" not in rooms_used(PACKAGE / "__init__.py")  # for the type checker only


def fresh(code: str) -> str:
    """What a new process prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    """No torch, no decoder, no page: what makes an import slow, looked at instead of timed."""
    loaded = fresh("import sys, strokenext; print(' '.join(sorted({n.split('.')[0] for n in sys.modules})))").split()
    heavy = {"torch", "timm", "torchvision", "pydicom", "nibabel", "gradio", "cv2", "PIL", "numpy", "huggingface_hub"}
    assert heavy & set(loaded) == set()


def test_listing_models_and_methods_needs_no_torch() -> None:
    """What a page needs before its models are there: tables, words, pictures, reports and the files themselves."""
    used = "s.list_models(); s.METHODS; s.PRESETS; s.words; s.report; s.render; s.Triage; s.SeriesTriage; s.read_any"
    assert fresh(f"import sys, strokenext as s; {used}; print('torch' in sys.modules)") == "False"


def test_every_public_name_is_there() -> None:
    code = "import strokenext as s; print([n for n in s.__all__ if getattr(s, n, None) is None], s.__version__)"
    assert fresh(code) == "[] 0.1.0"


def test_a_name_that_is_not_there() -> None:
    import strokenext

    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        strokenext.lod  # noqa: B018
    assert set(strokenext.__all__) <= set(dir(strokenext))


def test_the_library_neither_prints_nor_exits() -> None:
    for path in files("strokenext"):
        if room_of(path) in ("cli", "__main__"):
            continue
        calls = {n.func.id for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
        assert not calls & {"print", "exit", "quit", "input", "breakpoint"}, path.name
