"""Tests that could never fail, or that would skip where something of ours is broken."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = {"lerg_edge", "lerg_exporter", "lerg_runtime", "benchmarks", "device_tests"}
CLOCKS = {"time", "monotonic", "perf_counter", "process_time", "monotonic_ns", "perf_counter_ns", "time_ns"}


def last_part(node: ast.expr) -> str:
    """`importorskip` of `pytest.importorskip`."""
    return ast.unparse(node).rpartition(".")[2]


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of what is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def is_of_ours(name: ast.expr) -> bool:
    """Whether it names a module of ours, or may: its value is not written there."""
    return not isinstance(name, ast.Constant) or str(name.value).split(".")[0] in OWN


def optional_imports(tree: ast.AST) -> Iterator[int]:
    """Lines that skip, or take another way, where a module of ours cannot be imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and last_part(node.func) in {"importorskip", "find_spec"}:
            if is_of_ours(node.args[0]):
                yield node.lineno
        elif isinstance(node, ast.Try) and set(imported(node)) & OWN:
            caught = [ast.unparse(handler.type) if handler.type else "Exception" for handler in node.handlers]
            if any(name in caught for name in ("Exception", "ImportError", "ModuleNotFoundError")):
                yield node.lineno


def clocks(tree: ast.AST) -> Iterator[int]:
    """Lines that read a clock: what a test asserts of it depends on how busy the machine is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("time.") in CLOCKS:
            yield node.lineno


def found(rule: Callable[[ast.AST], Iterator[int]], *places: str, names: str = "*.py") -> list[str]:
    """Where the folders break the rule, as file and line."""
    files = [file for place in places for file in sorted((ROOT / place).rglob(names))]
    assert files
    return [
        f"{file.relative_to(ROOT)}:{line}"
        for file in files
        for line in rule(ast.parse(file.read_text(encoding="utf-8")))
    ]


def test_no_module_of_ours_may_be_missing() -> None:
    assert found(optional_imports, "tests", "device_tests", "benchmarks", "examples") == []


def test_no_test_reads_a_clock() -> None:
    assert found(clocks, "tests", "device_tests", names="test_*.py") == []


@pytest.mark.parametrize(
    "code",
    [
        'ops = pytest.importorskip("lerg_exporter.programs.native.ops")',
        'importorskip("lerg_runtime._native")',
        "for name in names: pytest.importorskip(name)",
        "try:\n    from lerg_edge import graph\nexcept ImportError:\n    graph = None",
        "try:\n    import lerg_runtime._native\nexcept:\n    pass",
    ],
)
def test_a_module_that_may_be_missing_is_seen(code: str) -> None:
    assert list(optional_imports(ast.parse(code)))


def test_what_others_ship_may_be_missing() -> None:
    assert not list(optional_imports(ast.parse('pytest.importorskip("torch")')))


@pytest.mark.parametrize("code", ["assert time.monotonic() - began < 20", "began = perf_counter()"])
def test_a_clock_is_seen(code: str) -> None:
    assert list(clocks(ast.parse(code)))
    assert not list(clocks(ast.parse("time.sleep(1)")))
