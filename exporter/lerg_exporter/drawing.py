"""How this project's plots look: colours, marks and matplotlib's settings.

matplotlib itself is imported by whoever draws.
"""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "MARKS", "STYLE"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Okabe and Ito's, which people who see colours otherwise can tell apart."""

MARKS = "osD^vPX"
"""For print; one less than colours, so that the two together do not repeat soon."""

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.hashsalt": "lerg-study",
    "svg.fonttype": "none",
}
"""For `matplotlib.rc_context`; the same figures give the same bytes."""
