"""`lerg-export`: the workstation's commands."""

from __future__ import annotations

from lerg_exporter.cli._main import main

__all__ = ["main"]
