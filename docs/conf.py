"""How `make docs` builds the pages of this folder and the reference from the docstrings."""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version
from typing import Any

project = "lerg-edge"
author = "the authors of lerg-edge"
version = release = installed_version("lerg-edge")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "250px"}

# Pages: links to headings, as GitHub makes them.
myst_heading_anchors = 3
# Java may call a variable `module`, which the highlighter does not know.
suppress_warnings = ["misc.highlighting_failure"]

# Docstrings: one backtick is code, as on the pages.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Shapes"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autoclass_content = "class"

_CODE = re.compile(r"(`+[^`]+`+)")


def plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Bars are no substitutions, names side by side stay so, an error is that of who raises it."""
    package = name.split(".")[0]
    for number, line in enumerate(lines):
        if several := re.match(r":(?:param|ivar) (\w+(?:, \w+)+):", line):
            line = line.replace(several[1], several[1].replace(", ", ","), 1)
        raised = re.match(r":raises (Input|Budget|Bundle|UnknownId|Unsynced|Lerg|LergRuntime)Error:", line)
        if raised:
            line = f":raises ~{package}.{line.removeprefix(':raises ')}"
        parts = _CODE.split(line)
        lines[number] = "".join(
            part if place % 2 else part.replace("|", r"\|") for place, part in enumerate(parts)
        )


def untyped(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """What a property's first sentence says before a colon is no type, as napoleon takes it to be."""
    if what == "property" and lines and (before := lines[-1].removeprefix(":type: ")) != lines[-1]:
        lines[:] = [f"{before}: {lines[0]}", *lines[1:-2]]


def setup(app: Any) -> None:
    for number, changed in enumerate((untyped, plain)):  # after napoleon
        app.connect("autodoc-process-docstring", changed, priority=900 + number)
