"""Names of selectors that mean something to an export. Importing this is cheap."""

from __future__ import annotations

__all__ = ["AUTO", "CANDIDATES", "ROUNDING"]

AUTO = "auto"
_PROGRAMS = ("bip-reach", "bip-norm", "bip")
CANDIDATES = (*_PROGRAMS, "degree", "pagerank")
"""What `auto` chooses from, by validation: objectives of the program, the last two being what an entity's
neighbourhood alone says. On gowalla `bip-reach` keeps most at retentions up to 0.7 and `bip-norm` above; on
lastfm, which has few pairs, degree and PageRank do. `bip` is the paper's objective read along messages."""
ROUNDING = (AUTO, *_PROGRAMS, "bip-global")
"""Selectors that round a relaxation."""
