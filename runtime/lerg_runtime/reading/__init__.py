"""Reading interactions on the device; `docs/interactions-files.md` is the specification."""

from __future__ import annotations
