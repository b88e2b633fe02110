"""What programs will take, before there are any. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MethodSizes", "ProgramSizes"]


@dataclass(frozen=True, slots=True)
class MethodSizes:
    """Bounds for one method, in bytes.

    Attributes:
        arena: planned memory.
        scratch: what kernels take while they run.
        structure: what ExecuTorch builds when it loads the method; None for what is usual.
    """

    arena: int
    scratch: int
    structure: int | None = None


@dataclass(frozen=True, slots=True)
class ProgramSizes:
    """Bounds for a program.

    Attributes:
        methods: by name, in the order in which they are planned.
        constants: bytes of the program file, by what they hold; placeholders are not among them.
        graph: bytes of the graph in an open program, where it is made of the interactions and not stored.
        weights: bytes of the float weights beside it; 0 where they do not travel.
    """

    methods: Mapping[str, MethodSizes]
    constants: Mapping[str, int]
    graph: int = 0
    weights: int = 0
