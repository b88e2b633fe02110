"""Bundles and programs that tests share, each kind traced once: across files, workers and runs.

They lie in `build/traced`, which `make clean` removes, under a digest of everything that they are made by; a
clean checkout has none and makes each anew.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import inspect
import io
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lerg_runtime

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "build" / "traced"
SOURCES = ("lerg_edge", "exporter/lerg_exporter", "runtime/lerg_runtime", "tests")
# What has a say in a program beside the methods that it is traced from, whose content is compared.
TRACING = ("exporter/lerg_exporter/programs", "lerg_edge/codes", "tests/traced.py")
MADE_BY = ("torch", "executorch", "numpy", "scipy", "scikit-learn", "pymetis", "highspy")
_DIGESTS_KEPT = 4


@functools.cache
def digest(sources: tuple[str, ...] = SOURCES) -> str:
    """Of the sources that have a say, of the native libraries in bundles' case, and of others' versions."""
    content = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in MADE_BY).encode())
    places = [ROOT / source for source in sources]
    found = (file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))
    files = {(ROOT, file) for file in found if not file.name.startswith("test_")}
    if sources is SOURCES:
        for folder in map(Path, lerg_runtime.__path__):
            files |= {(folder, file) for file in folder.glob("*.so")}
    for name, file in sorted((file.relative_to(home).as_posix(), file) for home, file in files):
        content.update(f"{name}\0".encode())
        content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()[:20]


def traced(kind: str, make: Callable[[Path], object], sources: tuple[str, ...] = SOURCES) -> Path:
    """A folder that `make` has written, once for each `kind`; read it only, and copy it to change it.

    Several processes may ask at the same time: one makes it, the others wait. It appears whole or not at all.

    Args:
        kind: names it, and everything that `make` depends on beside the sources.
        make: writes the folder that it is given, which does not exist.
        sources: files and folders that `make` depends on.
    """
    family = PLACE / ("bundles" if sources is SOURCES else "programs")
    place = family / digest(sources)
    place.mkdir(parents=True, exist_ok=True)
    folder = place / hashlib.sha256(kind.encode()).hexdigest()[:20]
    with (place / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
            _forget_older(place)
    return folder


def built(**asked: Any) -> Path:
    """The bundle of `build_bundle(folder, **asked)`, made once; read it only, and copy it to change it."""
    from lerg_exporter import build_bundle

    made = inspect.signature(build_bundle).bind("", **asked)
    made.apply_defaults()  # what is asked for and what holds anyway are one kind
    return traced(f"exported {made.arguments}", lambda folder: build_bundle(folder, **asked))


def remembered(trace: Callable[..., Any]) -> Callable[..., Any]:
    """`trace` of `lerg_exporter.programs.trace`, going only once through methods that are equal in all."""

    @functools.wraps(trace)
    def found(methods: Mapping[str, Any], *, embed_parameters: bool = False) -> Any:
        def make(folder: Path) -> None:
            folder.mkdir()
            program = trace(methods, embed_parameters=embed_parameters)
            (folder / "program.pickle").write_bytes(pickle.dumps(program))

        content = content_of((list(methods.items()), embed_parameters))
        folder = traced(f"program {content}", make, TRACING)
        return pickle.loads((folder / "program.pickle").read_bytes())

    return found


def content_of(whole: object) -> str:
    """A digest of all that an object is made of, the values of its tensors included."""
    described = io.BytesIO()
    _Description(described).dump(whole)
    return hashlib.sha256(described.getvalue()).hexdigest()


class _Description(pickle.Pickler):
    """A pickle that is not read again: without what differs from process to process in equal objects."""

    def reducer_override(self, thing: Any) -> Any:
        import torch

        if isinstance(thing, torch.Tensor):
            value = thing.detach()
            stated = (str(value.dtype), tuple(value.shape), thing.requires_grad, value.numpy().tobytes())
            return type(thing), stated
        if isinstance(thing, torch.nn.Module):
            parts = {
                name: sorted(part) if isinstance(part, set) else part for name, part in vars(thing).items()
            }
            return type(thing), (parts, _source(type(thing)))
        if isinstance(thing, torch._ops.OpOverloadPacket | torch._ops.OpOverload):
            return str, (str(thing),)
        if isinstance(thing, torch.export.Dim):
            return str, (f"{thing.__name__} {thing.min} {thing.max}",)
        return NotImplemented


def _source(kind: type) -> str:
    """The files of a module's class and of those that it builds on, where no version tells of them."""
    known = ("builtins", "torch.", "lerg_exporter.programs.")
    others = [each for each in kind.__mro__ if not each.__module__.startswith(known)]
    return "".join(Path(inspect.getfile(each)).read_text(encoding="utf-8") for each in others)


def _forget_older(place: Path) -> None:
    """Leave the newest few digests of a family, of which this one is."""
    os.utime(place)
    places = sorted(place.parent.iterdir(), key=lambda other: other.stat().st_mtime)
    strangers = [other for other in PLACE.iterdir() if other.name not in ("bundles", "programs")]
    for older in [*strangers, *places[:-_DIGESTS_KEPT]]:
        shutil.rmtree(older, ignore_errors=True)
