"""The native module, the budget and the program of one open bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime._native_module import native
from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._programs import ProgramSpec
from lerg_runtime.bundle._reader import BundleFolder
from lerg_runtime.errors import BudgetError, BundleError, LergRuntimeError

__all__ = ["Engine", "LoadedMethod", "kernels_path", "native"]


def kernels_path() -> Path:
    """The shared library of the `lerg` operators, for another ExecuTorch runtime of the process to load.

    Raises:
        LergRuntimeError: this installation has none.
    """
    names = ("liblerg_kernels.so", "liblerg_kernels.dylib")
    folder = Path(native().__file__).parent
    for place in (folder, folder / "lib"):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise LergRuntimeError(f"there is no {names[0]} in {folder}; install lerg-edge from its wheel")


class Engine:
    """Loads methods of a bundle's program, all memory taken from one budget.

    Args:
        folder: an open bundle, whose files have been hashed.
        budget_bytes: most that may be allocated, None for no limit.

    Attributes:
        budget: the native allocator; `budget.empty(shape, dtype)` gives arrays.

    Raises:
        BundleError: the bundle needs a newer ExecuTorch.
    """

    def __init__(self, folder: BundleFolder, *, budget_bytes: int | None) -> None:
        self._manifest = folder.contents
        _check_release(folder.contents.executorch, str(native().build_info()["executorch"]))
        self.budget: Any = native().Budget(budget_bytes or 0)
        self._folder = folder
        self._program: Any = None

    def open_program(
        self, entities: Entities | None = None, interactions: InteractionRows | None = None
    ) -> Engine:
        """Read the program and check it; before that nothing can be loaded.

        Args:
            entities, interactions: of the bundle, if they have been read.

        Raises:
            BundleError: the program is not what the manifest says.
        """
        folder = self._folder
        # Read and not mapped: another process could change or shorten the file under a mapping, after it
        # was checked, and a shortened one would end this process.
        data = folder.read_program(entities=entities, interactions=interactions, allocate=self.budget.empty)
        self._program = native().Program(folder.program_path(), self.budget, data)
        missing = {spec.method for spec in self._manifest.programs} - set(self._program.methods())
        if missing:
            raise BundleError(
                f"{folder.program_path()} has no method {min(missing)}; export the bundle again"
            )
        for spec in self._manifest.programs:
            if tuple(self._program.arena_bytes(spec.method)) != spec.arena_bytes:
                raise BundleError(
                    f"{folder.program_path()} plans other memory for {spec.method} than the manifest says; "
                    "export the bundle again"
                )
            if set(self._program.parameters(spec.method)) != _parameters(spec):
                raise BundleError(
                    f"{folder.program_path()} asks for other parameters of {spec.method} than the manifest "
                    "says; export the bundle again"
                )
        return self

    def load(
        self, method: str, *, parameters: Mapping[str, np.ndarray] | None = None, trace: bool = False
    ) -> LoadedMethod:
        """A method ready to run; its arenas and scratch are taken now and freed with it.

        Args:
            method: `finetune`, `encode` or `recommend`.
            parameters: float32 arrays that the method reads in place and an optimiser may write.
            trace: record the time of each operator.

        Raises:
            BundleError: its inputs are not what the manifest says.
            BudgetError: it does not fit the budget.
        """
        spec = self._manifest.program(method)
        given = dict(parameters or {})

        def load(scratch_bytes: int) -> Any:
            return self._program.load(method, given, scratch_bytes, trace=trace)

        loaded = load(spec.scratch_bytes)
        for kind in ("inputs", "outputs"):
            stated = [(tensor.dtype, tensor.shape) for tensor in getattr(spec, kind)]
            found = [(str(entry[0]), tuple(entry[1])) for entry in getattr(loaded, f"{kind[:-1]}_specs")]
            if found != stated:
                raise BundleError(
                    f"the {kind} of program {method} are not what the manifest says; export the bundle again"
                )
        return LoadedMethod(spec, loaded, load)

    def packed_codebook(self, codebook: np.ndarray) -> np.ndarray:
        """A view of a packed codebook as `encode` takes it: a portable program takes 16 bits as bytes."""
        return codebook.view(self._manifest.program("encode").inputs[0].dtype)

    def empty_seen(self, users: int) -> np.ndarray:
        """Memory for the input `seen` of `recommend`, bool or uint8 [users, I]."""
        seen = self._manifest.program("recommend").inputs[-2]
        array: np.ndarray = self.budget.empty((users, seen.shape[1]), seen.dtype)
        return array


class LoadedMethod:
    """A method with the scratch that the manifest states, and more if its kernels turn out to want it.

    The manifest's figure was measured with the kernels of the day. Those of a later release may take more:
    then the method is loaded again with scratch taken as it is asked for, which the budget still bounds.
    """

    def __init__(self, spec: ProgramSpec, method: Any, load: Callable[[int], Any]) -> None:
        self._spec = spec
        self._method = method
        self._load: Callable[[int], Any] | None = load

    def execute(
        self, *inputs: np.ndarray, outputs: Sequence[np.ndarray | None] | None = None
    ) -> list[np.ndarray]:
        """Run once; see `Method.execute` of the native module.

        Raises:
            BudgetError: outputs or scratch do not fit the budget.
            BundleError: the program fails on inputs that it says it takes, or gives outputs of other sizes.
        """
        try:
            results = self._run(inputs, outputs)
        except LergRuntimeError as error:
            if type(error) is not LergRuntimeError:
                raise
            raise BundleError(f"the program cannot be run: {error}; export the bundle again") from None
        except ValueError as error:
            raise BundleError(
                f"program {self._spec.method} does not take what the manifest says: {error}; "
                "export the bundle again"
            ) from None
        self._check_sizes(inputs, results)
        return results

    def _run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray | None] | None
    ) -> list[np.ndarray]:
        try:
            results: list[np.ndarray] = self._method.execute(*inputs, outputs=outputs)
        except BudgetError:
            if self._load is None:
                raise
            load, self._load = self._load, None
            self._method = None  # its memory must be free before the next one takes its own
            self._method = load(0)
            results = self._method.execute(*inputs, outputs=outputs)
        return results

    def _check_sizes(self, inputs: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> None:
        """Refuse outputs that are not of the sizes that these inputs ask for."""
        for tensor, result in zip(self._spec.outputs, results, strict=True):
            wanted = tensor.shape
            if self._spec.method == "recommend":
                wanted = (len(inputs[-2]), len(inputs[-1]))  # of `seen` and `ranks`
            if result.shape != wanted:
                raise BundleError(
                    f"program {self._spec.method} gave {tensor.name} of shape {result.shape} instead of "
                    f"{wanted}; export the bundle again"
                )

    def events(self) -> list[tuple[str, float]]:
        """(operator, milliseconds) of the last run, if loaded with trace."""
        events: list[tuple[str, float]] = self._method.events()
        return events


def _parameters(spec: ProgramSpec) -> set[tuple[str, str, tuple[int, ...]]]:
    """Name, dtype and shape of what the runtime gives a method beside its inputs: the last two outputs."""
    if spec.method != "finetune":
        return set()
    names = ("codebook", "step")
    return {(name, tensor.dtype, tensor.shape) for name, tensor in zip(names, spec.outputs[-2:], strict=True)}


def _check_release(needed: str, installed: str) -> None:
    parts = installed.split(".")
    have = tuple(int(part) for part in parts[:2] if part.isdigit())
    if have < tuple(map(int, needed.split("."))):
        raise BundleError(
            f"this bundle needs ExecuTorch {needed} and {installed} is installed; upgrade lerg-edge"
        )
