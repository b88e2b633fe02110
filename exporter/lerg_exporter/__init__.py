"""lerg_exporter: from a trained model to ExecuTorch programs and a bundle for the device.

    >>> from lerg_exporter import inspect_bundle
    >>> storage = inspect_bundle(bundle)["storage"]  # the path of a folder
    >>> storage["embedding_bytes"] < storage["baseline_bytes"]
    True
    >>> [program["method"] for program in inspect_bundle(bundle)["programs"]]
    ['finetune', 'encode', 'recommend']

Names are looked up when they are first used, so that looking at a bundle does not wait for torch.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import a command would wait for before it can answer Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from lerg_exporter.bundles.embeddings import EmbeddingFiles, write_embeddings
    from lerg_exporter.bundles.inspection import inspect_bundle
    from lerg_exporter.bundles.verification import Verification, verify_bundle
    from lerg_exporter.exporting.compressing import CompressReport, compress
    from lerg_exporter.exporting.kinds.assignments import AssignmentKind
    from lerg_exporter.exporting.kinds.recommenders import RecommenderKind
    from lerg_exporter.exporting.options import ExportOptions
    from lerg_exporter.exporting.personal import PersonalReport, export_personal
    from lerg_exporter.exporting.pipeline import ExportReport, export
    from lerg_exporter.exporting.small_bundle import build_bundle
    from lerg_exporter.reporting.writing import write_report

__all__ = [
    "AssignmentKind",
    "CompressReport",
    "EmbeddingFiles",
    "ExportOptions",
    "ExportReport",
    "PersonalReport",
    "RecommenderKind",
    "Verification",
    "build_bundle",
    "compress",
    "export",
    "export_personal",
    "inspect_bundle",
    "verify_bundle",
    "write_embeddings",
    "write_report",
]

_MODULES = {
    "AssignmentKind": "exporting.kinds.assignments",
    "CompressReport": "exporting.compressing",
    "EmbeddingFiles": "bundles.embeddings",
    "RecommenderKind": "exporting.kinds.recommenders",
    "ExportOptions": "exporting.options",
    "ExportReport": "exporting.pipeline",
    "PersonalReport": "exporting.personal",
    "Verification": "bundles.verification",
    "build_bundle": "exporting.small_bundle",
    "compress": "exporting.compressing",
    "export": "exporting.pipeline",
    "export_personal": "exporting.personal",
    "inspect_bundle": "bundles.inspection",
    "verify_bundle": "bundles.verification",
    "write_embeddings": "bundles.embeddings",
    "write_report": "reporting.writing",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
