"""Things by where they are defined: parts of this project that are imported late, and parts of one's own.

``package.module:name`` imports a module; ``path/to/file.py:name`` runs one file. So a selector, an assignment
or a recommender of one's own is something in a file of one's own, and nothing here has to know of it.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from lerg_edge.errors import InputError

__all__ = ["at", "is_own", "load_own", "without_folder"]


def is_own(name: str) -> bool:
    """Whether a name says where something is defined, as no built-in one does."""
    place, colon, attribute = name.rpartition(":")
    return bool(colon and place and attribute)


def at(place: str) -> Any:
    """What this project defines at ``module:name``, imported now.

    >>> at("lerg_edge.errors:InputError")
    <class 'lerg_edge.errors.InputError'>
    """
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def load_own(name: str, what: str, *, known: tuple[str, ...]) -> Any:
    """Load a thing of one's own; a file runs once, or again where it has changed since.

    Args:
        name: where it is defined.
        what: what it should be, for errors, such as `selector`.
        known: the built-in ones, for errors.

    Raises:
        InputError: no such place, a module or file that cannot be imported, or nothing of that name in it.
    """
    if not is_own(name):
        raise InputError(
            f"{what} '{name}' is unknown; choose one of {', '.join(known)}, or name your own as "
            f"'file.py:name' or 'package.module:name'."
        )
    place, _, attribute = name.rpartition(":")
    try:
        found = getattr(_module(place), attribute, None)
    except (ImportError, SyntaxError) as error:
        raise InputError(
            f"{what} '{name}' is not usable: importing '{place}' failed with {error}."
        ) from error
    except OSError as error:
        raise InputError(f"{what} '{name}' is not usable: there is no file '{place}'.") from error
    if found is None:
        raise InputError(f"{what} '{name}' is not usable: '{place}' defines no '{attribute}'.")
    return found


def without_folder(name: str) -> str:
    """A name for people elsewhere: of one's own file only the file's name is left of its path.

    >>> without_folder("/home/me/file.py:mine"), without_folder("degree")
    ('file.py:mine', 'degree')
    """
    place, colon, attribute = name.rpartition(":")
    return f"{PurePath(place).name}:{attribute}" if colon else name


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).resolve()
    return _run(path, path.stat().st_mtime_ns)


@cache
def _run(path: Path, changed: int) -> ModuleType:
    """The module that a file is, as it was at a time in nanoseconds."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
