"""A plugin of pytest that keeps each kernel call of `tests/native`: program, inputs, and the answer here.

    LERG_RECORDINGS=FOLDER pytest -p device_tests.recording tests/native/test_kernels.py

`device_tests/replay.py` makes the same calls on a device and compares. Methods that hold parameters are left
out: their answers depend on what was loaded before.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime import _native

_FOLDER = Path(os.environ["LERG_RECORDINGS"])
_Program = _native.Program


def _kept_program(path: str) -> str:
    data = Path(path).read_bytes()
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.pte"
    if not (_FOLDER / name).exists():
        (_FOLDER / name).write_bytes(data)
    return name


def keep(path: str, method: str, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
    """Write one call down."""
    arrays = {f"input{n}": array for n, array in enumerate(inputs)}
    arrays |= {f"output{n}": array for n, array in enumerate(outputs)}
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
    about = {"program": _kept_program(path), "method": method, "test": test}
    np.savez(_FOLDER / f"{uuid.uuid4().hex}.npz", **about, **arrays)  # type: ignore[arg-type]


class _Method:
    def __init__(self, real: Any, path: str, name: str) -> None:
        self._real, self._path, self._name = real, path, name

    def execute(self, *inputs: Any, **options: Any) -> Any:
        given = [np.array(array) for array in inputs]
        outputs = self._real.execute(*inputs, **options)
        keep(self._path, self._name, given, [np.array(array) for array in outputs])
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _RecordingProgram:
    def __init__(self, path: str, budget: Any) -> None:
        self._real, self._path = _Program(path, budget), path

    def load(self, method: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> Any:
        loaded = self._real.load(method, parameters or {}, **options)
        return loaded if parameters else _Method(loaded, self._path, method)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


_FOLDER.mkdir(parents=True, exist_ok=True)
_native.Program = _RecordingProgram  # type: ignore[assignment,misc]
