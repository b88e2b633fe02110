"""Named studies: from a small TOML file to runs that are kept, and to a report.

Names are looked up when they are first used, so that reading a study does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerg_exporter.study._parse import load_study
    from lerg_exporter.study._problems import StudyFileError
    from lerg_exporter.study._report import write_report
    from lerg_exporter.study._runs import Outcome, Run, check_runs, make_runs, plan_runs
    from lerg_exporter.study._spec import Study
    from lerg_exporter.study._store import Store

__all__ = [
    "Outcome",
    "Run",
    "Store",
    "Study",
    "StudyFileError",
    "check_runs",
    "load_study",
    "make_runs",
    "plan_runs",
    "write_report",
]

_MODULES = {
    "Outcome": "_runs",
    "Run": "_runs",
    "Store": "_store",
    "Study": "_spec",
    "StudyFileError": "_problems",
    "check_runs": "_runs",
    "load_study": "_parse",
    "make_runs": "_runs",
    "plan_runs": "_runs",
    "write_report": "_report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
