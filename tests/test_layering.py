"""What may import what: arrows between the packages, floors inside them, no circles, no private doors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKSTATION = {"torch", "executorch", "scipy", "sklearn", "polars", "pyarrow", "rich", "safetensors"}
FORBIDDEN = {
    "lerg_edge": {"lerg_runtime", "lerg_exporter", "executorch"},
    "runtime/lerg_runtime": {"lerg_edge", "lerg_exporter"} | WORKSTATION,
}


PLACES = {
    "lerg_edge": "lerg_edge",
    "lerg_exporter": "exporter/lerg_exporter",
    "lerg_runtime": "runtime/lerg_runtime",
}
# From the ground up, the rooms of a floor side by side: they import what lies below, nothing of each other.
FLOORS = {
    "lerg_edge": (
        "errors _fingerprint",
        "data metrics own propagation workdir",
        "codes features histories selection tables",
        "training pruning",
        "assigning folding",
        "personal",
        "storage",
    ),
    "lerg_exporter": (
        "programs.limits programs.indices programs.method programs.quiet_imports programs.sizes drawing",
        "programs.graph_constants programs.folded_constants programs.signatures programs.personal",
        "programs.native programs.portable",
        "programs.choice programs.trace",
        "bundles",
        "exporting",
        "study reporting",
        "cli",
    ),
    "lerg_runtime": (
        "errors _limits _numbers",
        "_native_module",
        "reading sizes",
        "bundle interactions_file",
        "engine pairs planning _arguments",
        "golden programs serving",
        "learning",
        "_handle",
        "_own_history",
        "recommender",
        "cli",
        "__main__",
    ),
}


ROOMS = {package: " ".join(FLOORS.get(package, ())).split() for package in PLACES}


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def room_of(module: str, height: dict[str, int], package: str) -> str:
    """The room that a module lies in."""
    for room in height:
        if within(module, f"{package}.{room}"):
            return room
    raise AssertionError(f"{module} lies on no floor of tests/test_layering.py")


def imported_names(source: str) -> set[str]:
    """Full names of what a module imports, or names by a string `module:function`, wherever in the file.

    What is imported for annotations alone is left out.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("lerg_")
        ):
            names.add(node.value.split(":")[0])
    return names


def imports_within(package: str) -> dict[str, set[str]]:
    """Modules of a package and those of it that each imports, without the fronts of packages of rooms."""
    place = ROOT / PLACES[package]
    files = {
        ".".join((package, *file.relative_to(place).with_suffix("").parts)).removesuffix(".__init__"): file
        for file in sorted(place.rglob("*.py"))
    }
    # The package itself looks names up when they are first used, and these hold nothing.
    for front in (package, *{f"{package}.{room.split('.')[0]}" for room in ROOMS[package] if "." in room}):
        files.pop(front)
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        graph[module] = set()
        for name in imported_names(file.read_text(encoding="utf-8")):
            while name and name not in files:
                name = name.rpartition(".")[0]
            if name and name != module:
                graph[module].add(name)
    return graph


def imported_roots(source: str) -> set[str]:
    """Top-level names of the packages that a module imports, wherever in the file."""
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            roots.add(node.module.split(".")[0])
    return roots


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_only_what_the_design_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no module found in {package}"
    for file in files:
        crossed = imported_roots(file.read_text(encoding="utf-8")) & FORBIDDEN[package]
        assert not crossed, f"{file.relative_to(ROOT)} imports {sorted(crossed)}"


def test_floors_import_what_lies_below() -> None:
    for package, floors in FLOORS.items():
        height = {room: level for level, rooms in enumerate(floors) for room in rooms.split()}
        for module, imported in imports_within(package).items():
            room = room_of(module, height, package)
            for other in imported:
                below = room_of(other, height, package)
                assert room == below or height[below] < height[room], f"{module} imports {other}"


def test_every_room_of_a_floor_is_there() -> None:
    for package, floors in FLOORS.items():
        modules = imports_within(package)
        for room in " ".join(floors).split():
            assert any(within(module, f"{package}.{room}") for module in modules), f"{package} has no {room}"


@pytest.mark.parametrize("package", PLACES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    graph = imports_within(package)
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in sorted(graph[module]):
                follow(other, (*way, module))
            done.add(module)

    for module in graph:
        follow(module, ())


def test_no_package_uses_a_private_module_of_another() -> None:
    for package, place in PLACES.items():
        for file in sorted((ROOT / place).rglob("*.py")):
            for name in imported_names(file.read_text(encoding="utf-8")):
                own = name.split(".")[0] == package or not name.startswith(tuple(PLACES))
                private = any(part.startswith("_") for part in name.split("."))
                assert own or not private, f"{file.relative_to(ROOT)} imports {name}"


def test_runtime_loads_neither_torch_nor_executorch() -> None:
    code = (
        "import sys, lerg_runtime.recommender, lerg_runtime.cli._main, lerg_runtime._native\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    crossed = {name for name in WORKSTATION | {"lerg_edge", "lerg_exporter"} if f"'{name}'" in loaded}
    assert not crossed
    # The guard itself: a name that must be there is seen.
    assert "'numpy'" in loaded


def test_what_only_tracing_needs_is_not_imported_before_the_data_is_read() -> None:
    """Four seconds of imports stood between reading and the first stage; they now wait behind METIS."""
    code = (
        "import sys, lerg_exporter.exporting.pipeline\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'torch'" in loaded
    assert not {name for name in ("executorch", "sklearn", "sympy") if f"'{name}'" in loaded}
