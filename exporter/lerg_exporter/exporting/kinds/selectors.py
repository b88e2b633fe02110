"""Names of selectors that mean something to an export. Importing this is cheap."""

from __future__ import annotations

__all__ = ["AUTO", "CANDIDATES", "PROGRAMS", "ROUNDING"]

AUTO = "auto"
PROGRAMS = ("bip-reach", "bip-norm", "bip")
"""The objectives of the binary program that `auto` tries."""
CANDIDATES = (*PROGRAMS, "degree", "pagerank", "random")
"""What `auto` chooses from, by validation. On gowalla `bip-reach` keeps most at retentions up to 0.7 and
`bip-norm` above; on lastfm, which is smaller, degree and PageRank do. Under an edge budget that forbids the
entities with most edges a random choice, which keeps its share of them, can be the best of all."""
ROUNDING = (AUTO, *PROGRAMS, "bip-global")
"""Selectors that round a relaxation."""
