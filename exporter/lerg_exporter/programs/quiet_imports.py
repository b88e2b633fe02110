"""Importing ExecuTorch's exporter without what its dependencies log on the way."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["imported_meanwhile", "quiet_imports"]

# torchao warns of GPU libraries that a CPU build does not have, torch of a deprecation inside torchao.
_NOISY = ("torchao", "torch.utils._pytree")


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Only errors of these libraries are logged inside the block."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def imported_meanwhile(*names: str) -> Iterator[None]:
    """Import modules on another thread while the block waits for something else.

    Seconds of imports vanish behind a block that leaves the interpreter alone. A module that fails to import
    says so when it is imported where it is used.
    """

    def load() -> None:
        try:
            with quiet_imports():
                for name in names:
                    importlib.import_module(name)
        except Exception:
            logging.getLogger(__name__).debug("%s could not be imported ahead", names, exc_info=True)

    thread = threading.Thread(target=load, name="imports")
    thread.start()
    try:
        yield
    finally:
        thread.join()
