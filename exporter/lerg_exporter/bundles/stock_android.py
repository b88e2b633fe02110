"""What a stock build of ExecuTorch for Android can run, and what its Java classes can hand to a program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from lerg_edge.errors import LergError

if TYPE_CHECKING:
    from lerg_exporter.programs.trace import MethodPlan

__all__ = ["JAVA_DTYPES", "check_android", "registered_operators"]

JAVA_DTYPES = frozenset({"uint8", "int8", "int32", "int64", "float16", "float32", "float64"})
"""Types that `org.pytorch.executorch.Tensor` can be made of in ExecuTorch 1.5: no booleans, no int16."""


@cache
def registered_operators() -> frozenset[str]:
    """Names of the operators, from `android_operators.txt`, which tells the version and how it was made."""
    text = files("lerg_exporter.bundles").joinpath("android_operators.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def check_android(plans: Sequence[MethodPlan]) -> None:
    """Refuse programs that a stock Android application could not load or call.

    Raises:
        LergError: a method calls an operator that is not registered there, or has an input or output of a
            type that Java has no tensors of.
    """
    for plan in plans:
        unknown = sorted(set(plan.operators) - registered_operators())
        if unknown:
            raise LergError(
                f"the portable program {plan.method} would call {', '.join(unknown)}, which stock ExecuTorch "
                "does not register on Android; use --lowering native"
            )
        for tensor in (*plan.inputs, *plan.outputs):
            if tensor.dtype not in JAVA_DTYPES:
                raise LergError(
                    f"{tensor.name} of the portable program {plan.method} would be {tensor.dtype}, which "
                    "stock Java has no tensors of; use --lowering native"
                )
