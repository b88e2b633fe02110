"""`lerg-edge`: the device's commands."""

from __future__ import annotations

from lerg_runtime.cli._main import main

__all__ = ["main"]
