"""The native module, loaded when it is first needed."""

from __future__ import annotations

from typing import Any

from lerg_runtime.errors import LergRuntimeError

__all__ = ["native"]


def native() -> Any:
    """The module `lerg_runtime._native`, loaded when it is first needed.

    Raises:
        LergRuntimeError: this installation has none.
    """
    try:
        from lerg_runtime import _native
    except ImportError as error:
        raise LergRuntimeError(
            f"the native module cannot be loaded ({error}); install lerg-edge from its wheel"
        ) from None
    return _native
