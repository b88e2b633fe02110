"""The native half of the runtime: programs under a memory budget, optimiser steps, sampling and quantisation.

Arrays are numpy's, dense and row-major; none is copied. Sizes are bytes unless said otherwise.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

class BuildInfo(TypedDict):
    """What `build_info` tells.

    The loops that were chosen for this processor: `isa` of float rows ("avx512", "avx2", "generic", "neon"),
    `codes` of int8 item tables (also "vnni", on arm64 "dotprod"), `rows` of quantisation and folding (also
    "vnni"), `half` of float16 layers ("f16c", "neon", "software").
    """

    executorch: str
    isa: str
    codes: str
    rows: str
    half: str
    threads: int

class Budget:
    """Counts what is allocated and refuses to pass a limit. Blocks are aligned to and counted in 64 bytes."""

    def __init__(self, limit_bytes: int) -> None:
        """limit_bytes: the most that may be held at one time; 0 counts without bounding."""

    @property
    def limit(self) -> int:
        """Bytes, 0 for none."""

    @property
    def used(self) -> int:
        """Bytes held now."""

    @property
    def peak(self) -> int:
        """Most bytes held at one time."""

    def empty(self, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """A writable array of unspecified content, counted until it and every view of it are gone.

        Raises:
            lerg_runtime.errors.BudgetError: over the limit; nothing is allocated then.
            ValueError: a dtype that programs do not have, or a negative size.
        """

def operator_signatures() -> dict[str, str]:
    """What each operator that a program may call takes, by name and overload; docs/programs.md explains."""

def scratch_bytes(operator: str, sizes: Mapping[str, int]) -> int:
    """As `lerg_runtime.planning.scratch_bytes`.

    Raises:
        ValueError: no such operator takes any, or no such size, or one that is too large for any call.
    """

class Program:
    """A program file (`.pte`), its plans checked, in memory; nothing else is held before a load."""

    def __init__(
        self, path: str | bytes | PathLike[str], budget: Budget, data: np.ndarray | None = None
    ) -> None:
        """
        Args:
            path: of the file, which is mapped, and then must not change or shrink.
            data: uint8 [n], the bytes of the file where they have been read; the path is then for messages.

        Raises:
            lerg_runtime.errors.BundleError: the file is missing, truncated, altered, of another format, or a
                method asks a kernel for what it must not.
        """

    def methods(self) -> list[str]:
        """Names in file order, ExecuTorch's `__et_training_*` bookkeeping included."""

    def arena_bytes(self, method: str) -> list[int]:
        """Planned working memory of a method, buffer by buffer, before anything is allocated."""

    def parameters(self, method: str) -> list[tuple[str, str, tuple[int, ...]]]:
        """Name, dtype and shape of each external parameter that a method reads."""

    def operators(self, method: str) -> list[str]:
        """Operators that a method calls ("aten::mul.out"), each once, in order of first use."""

    def load(
        self,
        method: str,
        parameters: dict[str, NDArray[np.float32]] = ...,
        scratch_bytes: int = 0,
        trace: bool = False,
    ) -> Method:
        """Load a method; all of its memory comes from the budget.

        Args:
            parameters: external parameters by name. The arrays are used in place: writing to one changes
                what the next run reads. They are kept alive by the method.
            scratch_bytes: bound of one operator's scratch, taken at once. 0 takes scratch from the budget
                as it is asked for, which is how `Method.scratch_peak` is measured.
            trace: time each operator, for `Method.events`.

        Raises:
            lerg_runtime.errors.BudgetError: its memory does not fit the budget.
            lerg_runtime.errors.BundleError: damaged, or it needs an operator or backend that is not here.
            ValueError: no such method, or a parameter that is missing or does not fit.
        """

class Method:
    """A loaded method. Runs one at a time: a second thread waits."""

    @property
    def name(self) -> str: ...
    @property
    def input_specs(self) -> list[tuple[str, tuple[int, ...]]]:
        """(dtype, largest shape) of each input."""

    @property
    def output_specs(self) -> list[tuple[str, tuple[int, ...]]]:
        """(dtype, largest shape) of each output."""

    @property
    def arena_bytes(self) -> list[int]: ...
    @property
    def scratch_peak(self) -> int:
        """Most scratch that one operator has held, while loading and in all runs so far."""

    def execute(
        self, *inputs: NDArray[Any], outputs: Sequence[NDArray[Any] | None] | None = None
    ) -> list[NDArray[Any]]:
        """Run once, without the interpreter lock.

        Args:
            inputs: as `input_specs`; where the program is dynamic, a dimension may be smaller, down to 1.
            outputs: arrays to write to, each with room for the largest shape; None allocates from the budget.

        Returns:
            One array an output: the given or allocated one, or a view of its first elements in the shape
            that the run gave. For an output that is an external parameter, the parameter's array; what was
            given for it in `outputs` is not used.

        Raises:
            ValueError: an input or output that does not fit; names the method, the array and the rule.
            lerg_runtime.errors.BudgetError: outputs or scratch pass the budget, or scratch its bound.
            lerg_runtime.errors.LergRuntimeError: an operator failed; names the method and ExecuTorch's error.
        """

    def events(self) -> list[tuple[str, float]]:
        """(operator, milliseconds) of the last run, call by call in order; empty unless loaded with trace."""

def adam_step(
    param: NDArray[np.float32],
    grad: NDArray[np.float32],
    m: NDArray[np.float32],
    v: NDArray[np.float32],
    *,
    step: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adam (arXiv 1412.6980) in place, as torch.optim.Adam takes it; step counts from 1."""

def sgd_step(
    param: NDArray[np.float32],
    grad: NDArray[np.float32],
    velocity: NDArray[np.float32] | None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
) -> None:
    """velocity = momentum * velocity + grad; param -= learning_rate * velocity, in place."""

def quantise(weights: NDArray[np.float32], step: NDArray[np.float32], bits: int, out: NDArray[Any]) -> None:
    """out = round(clip(weights / step)), ties to even, to 4, 8 or 16 bits (LSQ, arXiv 1902.08153, eq. 1).

    weights float32 [c, d]; step float32 [1] or [c], positive. out int8 [c, d], int16 [c, d], or for 4 bits
    uint8 [c, d / 2] with the even element in the low nibble. 32 bits: out float32 [c, d] = weights.
    """

def dequantise(packed: NDArray[Any], step: NDArray[np.float32], bits: int, out: NDArray[np.float32]) -> None:
    """The inverse of `quantise`: out float32 [c, d] = packed * step, or packed with 32 bits."""

def sample_negatives(
    users: NDArray[np.int32],
    indptr: NDArray[Any],
    indices: NDArray[Any],
    item_count: int,
    seed: int,
    out: NDArray[np.int32],
) -> None:
    """out[i] = an item that users[i] has not touched, uniform over those; -1 where there is none.

    indptr int32 or int64 [users + 1] and indices uint8, uint16 or int32 are interactions by user, items
    ascending and unique in each row. Draw i depends on the seed (0 to 2^64 - 1) and i alone.
    """

def hardest_candidates(
    user_table: NDArray[np.float32],
    item_table: NDArray[Any],
    item_scales: NDArray[np.float32] | None,
    users: NDArray[np.int32],
    candidates: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """out[i] = the k for which row candidates[k, i] of item_table has the largest product with row users[i].

    user_table float32 [S, d]; item_table float32 [T, d], or int8 [T, d] with item_scales float32 [T]; users
    int32 [n]; candidates int32 [k, n]; out int32 [n]. Equal products give the smallest k. ValueError where a
    slot is out of range.
    """

def ridge_metric(
    item_table: NDArray[Any],
    item_scales: NDArray[np.float32] | None,
    counts: NDArray[np.int32],
    ridge: float,
    work: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """out = (G d / tr(G) + ridge I)^-1, G the sum over rows h of item_table of counts h h'.

    item_table float32 [T, d], or int8 [T, d] with item_scales float32 [T]; counts int32 [T]; work float64
    [d (d + 4)] or longer; out float32 [d, d]. ValueError where a row is not finite or ridge not above 0.
    """

def build_info() -> BuildInfo:
    """ExecuTorch's version, the instruction set ("avx512", "avx2", "neon", "generic") and the threads."""

def set_threads(count: int) -> None:
    """Number of threads that kernels run on, for the whole process; waits until no method is running.

    Methods that run at the same time share them: one has them all, the others keep to the thread that called.
    A process that was forked from one that had run a method keeps to one thread whatever is set.
    """

def threads_were_set() -> bool:
    """Whether `set_threads` has been called in this process."""

TEXT_ODDS: int
"""Elements of the int16 array that text is coded with."""

def encode_array(array: NDArray[Any], coding: int) -> bytes:
    """An array as its coded bytes; docs/bundle-format.md says how.

    Args:
        coding: 1 for each element alone, 2 beside the one before it, 3 for text.
    """

def decode_array(coded: NDArray[Any], coding: int, out: NDArray[Any], odds: NDArray[Any] | None) -> bool:
    """Fill `out` from coded bytes, uint8 [n]; False where they are too few or too many.

    Args:
        odds: int16 [TEXT_ODDS] to work on, for text.
    """

def encode_pairs(starts: NDArray[Any], columns: NDArray[Any], column_count: int) -> bytes:
    """Compressed rows as one code: int32 [rows + 1] and int32 [n], ascending in every row.

    Raises:
        ValueError: they are not.
    """

def pair_sizes(start: NDArray[Any], bytes: int) -> tuple[int, int, int, int]:
    """Rows, columns, pairs and bytes of scratch of a code of so many bytes, by the first of them, uint8 [n].

    Raises:
        ValueError: it is no such code.
    """

def decode_pairs(
    coded: NDArray[Any], starts: NDArray[Any], columns: NDArray[Any], scratch: NDArray[Any]
) -> None:
    """Fill `starts`, int32 [rows + 1], and `columns`, uint8, uint16 or int32 [n].

    Args:
        scratch: uint8, as many as `pair_sizes` says, aligned to 64 bytes.

    Raises:
        ValueError: it is no such code, or an array is not as large as it says.
    """

def induce(
    starts: NDArray[Any],
    columns: NDArray[Any],
    user_slots: NDArray[Any],
    item_slots: NDArray[Any],
    retained_items: int,
    changed_starts: NDArray[Any],
    changed_columns: NDArray[Any],
    indptr: NDArray[Any],
    indices: NDArray[Any],
) -> bool:
    """Fill the graph over the retained, int32 [m_u + 1] and item slots, from who touched what.

    Args:
        starts, columns: who touched what, by index.
        user_slots, item_slots: int32 [U] and [I].
        retained_items: m_i.
        changed_starts, changed_columns: the pairs of slots in which the graph differs from the pairs.

    Returns:
        False where the graph has more or fewer edges than `indices` or the slots do not fit.
    """
