"""Names of selectors that mean something to an export. Importing this is cheap."""

from __future__ import annotations

__all__ = ["AUTO", "CANDIDATES", "ROUNDING"]

AUTO = "auto"
CANDIDATES = ("bip-reach", "bip-norm", "bip")
"""What `auto` chooses from, by validation. On gowalla the first keeps most at retentions up to 0.7 and the
second above; the third is the paper's objective read along messages."""
ROUNDING = (AUTO, *CANDIDATES, "bip-global")
"""Selectors that round a relaxation."""
