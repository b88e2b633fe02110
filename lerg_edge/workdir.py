"""Results of stages, kept so that a later run can take them up again.

A stage is identified by its name and by a fingerprint of everything that its result depends on. Another
retention ratio or bit width gives other fingerprints to the stages that depend on it and to no others, so
what is still valid is found and what is not is computed anew; results of several settings lie side by side.

    <folder>/<stage>-<fingerprint>/stage.json            what it is, its JSON result, hash of the tensors
    <folder>/<stage>-<fingerprint>/tensors.safetensors   its arrays
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lerg_edge._fingerprint import fingerprint
from lerg_edge.errors import InputError, LergError

__all__ = ["WorkDir", "fingerprint"]

_FORMAT = "lerg-stage"
_VERSION = 1
_SHOWN_DIGITS = 20
_LOG = logging.getLogger(__name__)


class _UnusableError(Exception):
    """A stored stage that must not be used, and why."""


@dataclass(frozen=True, slots=True)
class WorkDir:
    """A folder of stage results.

    Attributes:
        root: the folder; made when something is stored.
    """

    root: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> WorkDir:
        """Use a folder, which need not exist yet.

        Raises:
            InputError: the path is a file, or the folder cannot be made.
        """
        root = Path(path)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"work folder '{root}' cannot be used: {error.strerror}; name another."
            ) from error
        return cls(root)

    def folder(self, name: str, fingerprint: str) -> Path:
        """Where a stage's result lies; a checkpoint of an unfinished one belongs beside, not inside."""
        return self.root / f"{name}-{fingerprint[:_SHOWN_DIGITS]}"

    def checkpoint(self, name: str, fingerprint: str) -> Path:
        """Path of a file for a stage that is under way; the stage writes, reads and removes it itself."""
        return self.root / f"{name}-{fingerprint[:_SHOWN_DIGITS]}.checkpoint"

    def load(self, name: str, fingerprint: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Give back what was stored: arrays and a JSON object.

        Returns:
            None if nothing is there, or if what is there is damaged, of another format or another stage's;
            the log then says which, and the stage is to be computed anew.
        """
        folder = self.folder(name, fingerprint)
        if not folder.exists():
            return None
        try:
            return _read(folder, name, fingerprint)
        except _UnusableError as reason:
            _LOG.warning("'%s' is not used and '%s' is computed anew: %s", folder, name, reason)
            return None

    def store(
        self, name: str, fingerprint: str, *, tensors: Mapping[str, np.ndarray], result: Mapping[str, Any]
    ) -> None:
        """Keep a stage's result, whole or not at all; what lay there before is replaced.

        Args:
            tensors: numeric or bool arrays by name; may be empty.
            result: a JSON object.

        Raises:
            LergError: the result cannot be written.
        """
        arrays = {key: np.asarray(value, order="C") for key, value in tensors.items()}
        packed = save(arrays)
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "stage": name,
            "fingerprint": fingerprint,
            "tensors_sha256": hashlib.sha256(packed).hexdigest(),
            "result": dict(result),
        }
        text = json.dumps(header, indent=1, sort_keys=True, default=_plain).encode()
        folder = self.folder(name, fingerprint)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.root, prefix=f".{folder.name}-") as beside:
                fresh = Path(beside) / "new"
                fresh.mkdir()
                _write(fresh / "tensors.safetensors", packed)
                _write(fresh / "stage.json", text)
                if folder.is_dir():
                    # A folder can only be renamed over an empty one; the old result goes with the temporary.
                    folder.rename(Path(beside) / "old")
                else:
                    folder.unlink(missing_ok=True)
                fresh.rename(folder)
        except OSError as error:
            raise LergError(
                f"the result of '{name}' cannot be kept in '{self.root}': {error.strerror}; free space there "
                f"or name another work folder."
            ) from error


def _read(folder: Path, name: str, fingerprint: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        header = json.loads((folder / "stage.json").read_bytes())
        packed = (folder / "tensors.safetensors").read_bytes()
    except FileNotFoundError as error:
        raise _UnusableError(f"{Path(error.filename).name} is missing") from error
    except OSError as error:
        raise _UnusableError(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _UnusableError(f"stage.json is damaged: {error}") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise _UnusableError("stage.json was not written by this program")
    if header.get("version") != _VERSION:
        raise _UnusableError(f"its format is version {header.get('version')} and not {_VERSION}")
    if header.get("stage") != name or header.get("fingerprint") != fingerprint:
        raise _UnusableError("it belongs to another stage or to other inputs")
    if not isinstance(header.get("result"), dict):
        raise _UnusableError("stage.json has no result")
    if header.get("tensors_sha256") != hashlib.sha256(packed).hexdigest():
        raise _UnusableError("tensors.safetensors is not the file that was stored")
    try:
        return load(packed), header["result"]
    except SafetensorError as error:
        raise _UnusableError(f"tensors.safetensors is damaged: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
