"""lerg_exporter: from a trained model to ExecuTorch programs and a bundle for the device.

Names are looked up when they are first used, so that looking at a bundle does not wait for torch.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import a command would wait for before it can answer Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from lerg_exporter.inspection import inspect_bundle
    from lerg_exporter.options import ExportOptions
    from lerg_exporter.pipeline import ExportReport, export
    from lerg_exporter.small_bundle import build_bundle
    from lerg_exporter.verification import Verification, verify_bundle

__all__ = [
    "ExportOptions",
    "ExportReport",
    "Verification",
    "build_bundle",
    "export",
    "inspect_bundle",
    "verify_bundle",
]

_MODULES = {
    "ExportOptions": "options",
    "ExportReport": "pipeline",
    "Verification": "verification",
    "build_bundle": "small_bundle",
    "export": "pipeline",
    "inspect_bundle": "inspection",
    "verify_bundle": "verification",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
