"""A number of threads that does not depend on the machine or its environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg  # noqa: F401 - loads SciPy's BLAS, which would not be limited otherwise
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["fixed_threads"]


@contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """torch and the BLAS of numpy and SciPy share every sum among `count` threads inside the block.

    None stands for the number that torch has now. A sum over several threads ends in other bits for another
    number of them. It may be above that of the processors: then threads wait for each other, the bits stay.
    """
    before = torch.get_num_threads()
    number = before if count is None else count
    with threadpool_limits(number, user_api="blas"):
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)
