"""The arrows between the three packages: exporter -> method, exporter -> runtime, and no others."""

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
    code = "import sys, lerg_exporter.pipeline\nprint(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'torch'" in loaded
    assert not {name for name in ("executorch", "sklearn", "sympy") if f"'{name}'" in loaded}
