"""The walls between the rooms, read from the imports; and what `import strokenext` loads.

ORDER ranks the rooms and root files of each package: a file imports from its own room and from rooms before it, nowhere
else, in a function as at the top, for the type checker as for the program.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

#: Rooms and root files in the order of the data flow.
ORDER: dict[str, tuple[str, ...]] = {
    "strokenext": (
        "visible", "errors", "types", "version", "windows", "saving", "io", "preprocess", "zoo", "regions", "gate",
        "models", "record", "explain", "overlay", "frame", "answer", "slice", "volume", "segment", "loader", "cascade",
        "show", "cli", "__init__", "__main__",
    ),
    "training": (
        "__init__", "measure", "terminal", "environment", "data", "splits", "drawing", "cache", "train", "explain",
        "gate", "inputs", "classify", "segment", "volumes", "systems", "commands", "experiments", "results", "report",
        "publish", "__main__",
    ),
    "demo": ("__init__", "addresses", "settings", "zerogpu", "cancel", "turns", "decoding", "service", "presence",
             "sessions", "storage", "login", "api", "guard", "door", "page", "server"),
}  # fmt: skip
#: The front door: it offers names that live elsewhere, each resolved when first used.
FRONT_DOOR = "strokenext"
#: Packages that take long to load, or that not every command needs: a file may import them where it uses them.
HEAVY = {
    "cv2", "fastapi", "gradio", "gradio_client", "huggingface_hub", "imagecodecs", "lightning_fabric", "matplotlib",
    "nibabel", "numpy", "onnx", "onnxruntime", "PIL", "pydicom", "pytorch_grad_cam", "safetensors", "scipy", "sklearn",
    "spaces", "starlette", "timm", "torch", "torchvision", "tqdm", "uvicorn", "fpdf",
}  # fmt: skip
#: Of the standard library, what one system alone has.
ONE_SYSTEM = {"fcntl", "resource"}
#: What a package never imports, nowhere.
FORBIDDEN = {
    "strokenext": {"gradio", "fastapi", "starlette", "uvicorn", "demo", "training"},
    "training": {"gradio", "fastapi", "demo"},
    "demo": {"torch", "timm", "torchvision", "training"},
}
#: Rooms of `training` that can be removed, with their row of `training/systems.py` and their tests.
SYSTEMS = {"classify", "segment", "volumes"}
MOST_FILES = 14


@dataclass(frozen=True)
class Import:
    """`name` of `module`, or the module itself where `name` is empty; `inside` a function or not; its line."""

    module: str
    name: str
    inside: bool
    typing: bool
    line: int


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def files(package: str) -> dict[str, Path]:
    """Module name to file."""
    return {dotted(path): path for path in sorted((ROOT / package).rglob("*.py"))}


@cache
def everything() -> dict[str, Path]:
    return {name: path for package in ORDER for name, path in files(package).items()}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def walk(node: ast.AST, inside: bool = False, typing: bool = False) -> Iterator[tuple[ast.stmt, bool, bool]]:
    """Every import statement below a node, whether it stands in a function and whether for the type checker only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside, typing
        here = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checks = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        yield from walk(child, here, typing or checks)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """What a file imports: a name that is itself a module counts as that module."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found: list[Import] = []
    for node, inside, typing in walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", inside, typing, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                known = whole in everything()
                found.append(
                    Import(whole if known else module, "" if known else alias.name, inside, typing, node.lineno)
                )
    return tuple(found)


def ours(path: Path) -> list[Import]:
    """The imports of a file from its own package."""
    package = path.relative_to(ROOT).parts[0]
    return [i for i in imports(path) if i.module.split(".")[0] == package and i.module in everything()]


def place(module: str) -> tuple[int, str]:
    """Rank and name of the room (or root file) a module belongs to."""
    package, _, rest = module.partition(".")
    rest = rest or "__init__"
    fits = [(rank, room) for rank, room in enumerate(ORDER[package]) if rest == room or rest.startswith(f"{room}.")]
    assert fits, f"{module} stands in no room of ORDER: give it one"
    return max(fits, key=lambda fit: len(fit[1]))


@cache
def loads(module: str) -> frozenset[str]:
    """Heavy packages that importing a module of ours loads."""
    seen: set[str] = set()
    waiting, heavy = [module], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in everything():
            continue
        seen.add(name)
        for i in imports(everything()[name]):
            if not i.inside and not i.typing:
                heavy |= {i.module.split(".")[0]} & HEAVY
                waiting.append(i.module)
        waiting.append(name.rpartition(".")[0])
    return frozenset(heavy)


@cache
def defines(module: str) -> frozenset[str]:
    """Names that a module defines itself, as opposed to those it imports."""
    names: set[str] = set()
    for node in ast.walk(tree(everything()[module])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)


def each_file() -> list[Path]:
    return list(everything().values())


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", each_file(), ids=short)
def test_nothing_points_up(path: Path) -> None:
    here = dotted(path)
    if here == FRONT_DOOR:
        return
    rank, room = place(here)
    up = [f"{short(path)}:{i.line} imports {i.module}" for i in ours(path) if place(i.module)[0] > rank]
    assert not up, f"{room} stands before what it imports:\n" + "\n".join(up)


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_a_system_has_one_home(system: str) -> None:
    """Only the table of systems knows a system; systems do not know each other."""
    home = f"training.{system}"
    known = [
        f"{short(path)}:{i.line} imports {i.module}"
        for name, path in files("training").items()
        if name not in (home, "training.systems") and not name.startswith(f"{home}.")
        for i in ours(path)
        if i.module == home or i.module.startswith(f"{home}.")
    ]
    assert not known, "\n".join(known)


def test_no_circle() -> None:
    """No file reaches itself through its imports, those inside functions included."""
    edges = {n: {i.module for i in ours(p) if i.module != n and not i.typing} for n, p in everything().items()}
    edges[FRONT_DOOR] = {i.module for i in ours(everything()[FRONT_DOOR]) if not i.typing}
    state: dict[str, int] = {}
    circles: list[str] = []

    def visit(name: str, way: list[str]) -> None:
        state[name] = 1
        for other in sorted(edges[name]):
            if state.get(other) == 1:
                circles.append(" -> ".join([*way[way.index(other) :], other]))
            elif other not in state:
                visit(other, [*way, other])
        state[name] = 2

    for name in edges:
        if name not in state:
            visit(name, [name])
    assert not circles, "\n".join(circles)


@pytest.mark.parametrize("path", each_file(), ids=short)
def test_a_name_has_one_home(path: Path) -> None:
    """Names are imported from the file that defines them, and no file offers those of another."""
    if dotted(path) == FRONT_DOOR:
        return
    borrowed = [
        f"{short(path)}:{i.line} takes {i.name} from {i.module}, which does not define it"
        for i in imports(path)
        if i.name and i.module in everything() and i.module != FRONT_DOOR and i.name not in defines(i.module)
    ]
    aliases = [
        f"{short(path)}:{node.lineno} offers {alias.name} again"
        for node, _, _ in walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]
    listed = [
        f"{short(path)} lists names in __all__ that it does not define"
        for node in tree(path).body
        if isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == ["__all__"]
        if not set(ast.literal_eval(node.value)) <= defines(dotted(path))
    ]
    assert not borrowed + aliases + listed, "\n".join(borrowed + aliases + listed)


@pytest.mark.parametrize("path", each_file(), ids=short)
def test_imports_stand_at_the_top(path: Path) -> None:
    """An import inside a function saves the loading of a heavy package, or it stands at the top."""
    here = loads(dotted(path))
    wrong = []
    for i in imports(path):
        top = i.module.split(".")[0]
        saves = loads(i.module) - here if i.module in everything() else {top} & (HEAVY | ONE_SYSTEM)
        if i.inside and not saves:
            wrong.append(f"{short(path)}:{i.line} imports {i.module} inside a function")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_keep_to_themselves(package: str) -> None:
    for path in files(package).values():
        tops = {i.module.split(".")[0] for i in imports(path)}
        assert not tops & FORBIDDEN[package], f"{short(path)} imports {sorted(tops & FORBIDDEN[package])}"


def test_the_page_knows_public_names_only() -> None:
    """`demo` takes from the library what its `__all__` offers, by that name, and enters none of its rooms."""
    import strokenext

    for path in files("demo").values():
        nodes = list(ast.walk(tree(path)))
        whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
        names = {alias.name for node in froms if node.module == "strokenext" for alias in node.names} | {
            n.attr for n in nodes if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "strokenext"
        }
        rooms = {name for name in whole | {str(n.module) for n in froms} if name.startswith("strokenext.")}
        assert not rooms, f"{short(path)} enters {sorted(rooms)}"
        assert names <= set(strokenext.__all__), f"{short(path)} takes {sorted(names - set(strokenext.__all__))}"


def test_a_folder_is_read_at_a_glance() -> None:
    for folder in (*ORDER, "tests"):
        for place_ in [ROOT / folder, *(d for d in (ROOT / folder).rglob("*") if d.is_dir())]:
            count = sum(f.suffix == ".py" for f in place_.iterdir())
            assert count <= MOST_FILES, f"{short(place_)} holds {count} files; at most {MOST_FILES}"


def test_every_room_of_the_order_is_there() -> None:
    for package, rooms in ORDER.items():
        for room in rooms:
            there = room == "__init__" or f"{package}.{room}" in files(package)
            assert there or room in SYSTEMS, f"{package} has no {room}"


def test_the_imports_of_a_file_are_found() -> None:
    """The test of the test: relative, absolute, nested, and type-checking imports."""
    modules = {i.module for i in ours(ROOT / "strokenext" / "segment" / "segmentation.py")}
    assert {"strokenext.overlay", "strokenext.types"} <= modules
    assert any(i.inside and i.module.startswith("torch") for i in imports(ROOT / "strokenext/preprocess/contract.py"))
    assert any(i.typing for i in imports(ROOT / "strokenext" / "__init__.py"))
    assert "torch" in loads("strokenext.slice.predictor")
    assert "torch" not in loads("strokenext")


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
    for name, path in files("strokenext").items():
        if name.startswith("strokenext.cli") or path.name == "__main__.py":
            continue
        calls = {n.func.id for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert not calls & {"print", "exit", "quit", "input", "breakpoint"}, short(path)
