"""From interactions to a bundle: options, stages and what they leave behind.

`lerg_exporter.export` is this package and, called, the function that it is named after: importing any module
of the package puts the package where the function would stand.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # of typing, whose import a command would wait for
if TYPE_CHECKING:
    from typing import Any

    from lerg_exporter.export.pipeline import ExportReport


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> ExportReport:
        """Arguments, result and errors of `lerg_exporter.export.pipeline.export`."""
        from lerg_exporter.export.pipeline import export

        return export(*arguments, **settings)


sys.modules[__name__].__class__ = _CallablePackage
