"""What is kept of one run: a JSON object with everything that the report may show."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import LergError
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.pipeline import ExportReport
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.study._data import Source
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.programs import build_info

__all__ = ["Stopwatch", "machine", "record_of"]

_PACKAGES = ("lerg-edge", "torch", "executorch", "numpy")
_PROFILE_RUNS = 30
_PROFILE_SECONDS = 1.0


class Stopwatch:
    """A `Progress` that passes everything on and takes the time of each stage."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._began = self._since = time.monotonic()
        self._title = ""
        self._seconds: dict[str, float] = {}

    def stage(self, title: str) -> None:
        self._close()
        self._title = title
        self._inner.stage(title)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        self._inner.advance(done, total, detail)

    def note(self, text: str) -> None:
        self._inner.note(text)

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far, and of `all`."""
        self._close()
        found = {**self._seconds, "all": time.monotonic() - self._began}
        return {title: round(seconds, 2) for title, seconds in found.items()}

    def _close(self) -> None:
        now = time.monotonic()
        if self._title:
            self._seconds[self._title] = self._seconds.get(self._title, 0.0) + now - self._since
        self._since = now


def machine() -> dict[str, Any]:
    """What figures and times depend on: processor, cores and versions; no names of hosts or places."""
    return {
        "architecture": platform.machine(),
        "instruction_set": build_info()["isa"],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def record_of(
    report: ExportReport, source: Source, train: Interactions, options: ExportOptions, *, clock: Stopwatch
) -> dict[str, Any]:
    """Read everything off a bundle that has just been made, and time it in a process of its own.

    Args:
        report: of the export.
        source: the study's data.
        train: what was trained on, a part of that where users are held out.
        options: of the export.
        clock: that was told of its stages.

    Raises:
        LergError: the bundle could not be profiled.
    """
    document = report.manifest.document
    clock.stage("profiling")
    device = _profiled(report, train.item_count)
    with Recommender.open(report.path) as recommender:
        plan = recommender.plan()
    return {
        "data": _described(source, train),
        "options": asdict(options),
        "plan": asdict(report.plan),
        "metrics": document["metrics"],
        "validation": _validation(report),
        "pretraining": _pretraining(report),
        "model": document["model"],
        "serving": document["serving"],
        "storage": document["storage"],
        "programs": {program["method"]: program["planned_bytes"] for program in document["methods"]},
        "plan_bytes": {
            **{phase.name: phase.total_bytes for phase in plan.phases},
            "peak": plan.peak_bytes,
        },
        "macs": document["macs"],
        "training": document["training"],
        "trainable_pairs": _trainable_pairs(report, train),
        "device": device,
        "seconds": clock.seconds(),
        "machine": machine(),
    }


def _described(source: Source, train: Interactions) -> dict[str, Any]:
    test = source.dataset.test
    cells = train.user_count * train.item_count
    return {
        "name": source.name,
        "users": train.user_count,
        "items": train.item_count,
        "pairs": train.pair_count,
        "test_pairs": test.pair_count if test else 0,
        "density": train.pair_count / cells if cells else 0.0,
    }


def _validation(report: ExportReport) -> dict[str, float | None]:
    pretraining = [epoch.ndcg for epoch in report.history if epoch.epoch == report.best_epoch]
    tuned = report.tuned
    return {
        "pretraining": pretraining[0] if pretraining else None,
        "finetuning": tuned.scores[tuned.best_epoch] if tuned and tuned.scores else None,
    }


def _pretraining(report: ExportReport) -> dict[str, Any]:
    """Epochs, and the median time of those that were trained now; None if all came from the work folder."""
    timed = [epoch.seconds for epoch in report.history if epoch.seconds > 0]
    return {
        "epochs": report.pretrained_epochs,
        "best_epoch": report.best_epoch,
        "trained_now": len(timed),
        "epoch_s": round(float(np.median(timed)), 4) if timed else None,
    }


def _trainable_pairs(report: ExportReport, train: Interactions) -> int:
    """Pairs that fine-tuning goes over: those with an end that is retained."""
    entities = BundleFolder.open(report.path).read_entities()
    shape = report.manifest.model
    users = entities.user_slots[train.users] < shape.retained_users
    items = entities.item_slots[train.items] < shape.retained_items
    return int((users | items).sum())


def _profiled(report: ExportReport, items: int) -> dict[str, Any]:
    """Median latencies, and the most memory that a process without torch has resident."""
    command = [
        sys.executable, "-m", "lerg_runtime", "profile", str(report.path), "--json",
        "-k", str(min(20, items)), "--runs", str(_PROFILE_RUNS), "--seconds", str(_PROFILE_SECONDS),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise LergError(f"the bundle could not be profiled: {said[-1]}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return {
        "latency_ms": {method: times["p50"] for method, times in found["latency_ms"].items()},
        "peak_rss_bytes": found["memory"]["peak_rss_bytes"],
        "baseline_rss_bytes": found["memory"]["baseline_rss_bytes"],
    }
