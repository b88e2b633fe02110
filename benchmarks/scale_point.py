"""One export, measured: time and peak memory of every stage, then of the bundle on the device side.

`python -m benchmarks.scale_point SETTINGS` prints one JSON object. It is a process of its own, so that what
it holds at its peak, its children included, is what a user's command would hold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

# As lerg-export itself does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_SECONDS_BETWEEN_SAMPLES = 0.1
_OPEN = """
import json, sys, time
began = time.perf_counter()
from lerg_runtime import Recommender
from lerg_runtime.engine._resident import peak_resident_bytes
imported = time.perf_counter()
recommender = Recommender.open(sys.argv[1])
opened = time.perf_counter()
recommender.recommend(int(recommender.user_ids.take([0])[0]))
first = time.perf_counter()
print(json.dumps({"import_s": imported - began, "open_s": opened - imported, "first_s": first - opened,
                  "peak_mb": peak_resident_bytes() / 1e6}))
"""


class Recorder:
    """Stages with their time and their peak memory, of this process and its children.

    `seconds` is wall time; `cpu_seconds` is what the cores worked and does not grow when they are shared.
    """

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self.notes: list[str] = []
        self._current: list[str] = []
        self._began = _clocks()
        self._known: set[int] = set()
        self._lock = threading.Lock()
        self._running = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stage(self, title: str) -> None:
        """A new stage of the export takes the place of the one before."""
        with self._lock:
            self._account()
            self._current = [title]
        print(f"  {title}", file=sys.stderr, flush=True)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        self.notes.append(text)

    def inside(self, title: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose time counts as a stage of its own and not as that of the stage around it."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self._account()
                self._current.append(title)
            try:
                return function(*arguments, **named)
            finally:
                with self._lock:
                    self._account()
                    self._current.pop()

        return timed

    def finish(self) -> dict[str, dict[str, float]]:
        """End the last stage and give all of them."""
        with self._lock:
            self._account()
        self._running = False
        self._thread.join()
        return self.stages

    def _account(self) -> None:
        now = _clocks()
        if self._current:
            entry = self._entry()
            entry["seconds"] += now[0] - self._began[0]
            entry["cpu_seconds"] += now[1] - self._began[1]
        self._began = now

    def _entry(self) -> dict[str, float]:
        nothing = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_mb": resident_mb(os.getpid())}
        return self.stages.setdefault(self._current[-1], nothing)

    def _watch(self) -> None:
        while self._running:
            # A child that has just been forked shows its parent's pages as its own: it counts from the second
            # look on, when it runs a program of its own.
            family = {os.getpid(), *descendants(os.getpid())}
            resident = sum(resident_mb(one) for one in family if one in self._known)
            self._known = family
            with self._lock:
                if self._current:
                    entry = self._entry()
                    entry["peak_mb"] = max(entry["peak_mb"], resident)
            time.sleep(_SECONDS_BETWEEN_SAMPLES)


def _clocks() -> tuple[float, float]:
    """Wall time, and processor time of this process and of the children that have ended."""
    return time.perf_counter(), sum(os.times()[:4])


def resident_mb(process: int) -> float:
    """Resident memory of a process; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descendants(process: int) -> list[int]:
    """Children, their children and so on."""
    found: list[int] = []
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return found
    for child in children:
        found += [child, *descendants(child)]
    return found


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Generate, export and open one point.

    Args:
        settings: `users`, `items`, `interactions`, `communities`, and options of an export.
    """
    recorder = Recorder()
    recorder.stage("importing")
    from lerg_edge.data.splits import cut
    from lerg_edge.data.synthetic import generate
    from lerg_exporter import verify_bundle
    from lerg_exporter.exporting import pipeline, stages
    from lerg_exporter.exporting.options import ExportOptions

    _take_apart(recorder, pipeline, stages)
    options = dict(settings)
    sizes = [options.pop(name) for name in ("users", "items", "interactions")]
    recorder.stage("generating")
    whole = generate(*sizes, communities=options.pop("communities"), seed=0)
    dataset = cut(whole, "ratio", share=0.2, seed=0)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        report = pipeline.export(
            dataset, bundle, ExportOptions(assignment="metis", selector="bip", **options), progress=recorder
        )
        seconds = time.perf_counter() - began
        measured = recorder.finish()
        document = report.manifest.document
        # What was timed must be right: every program gives its golden answers, or this raises.
        verify_bundle(bundle)
        answer = subprocess.run(
            [sys.executable, "-c", _OPEN, str(bundle)], capture_output=True, text=True, check=True
        )
    model = document["model"]
    return {
        "settings": settings,
        "seconds": seconds,
        "peak_mb": max(stage["peak_mb"] for stage in measured.values()),
        "stages": measured,
        "epochs": report.pretrained_epochs,
        "train_pairs": dataset.train.pair_count,
        "retained": model["retained_users"] + model["retained_items"],
        "edges": model["edges"],
        "codebook_rows": model["codebook_rows"],
        "bundle_bytes": document["storage"]["bundle_bytes"],
        "bundle_share": document["storage"]["bundle_bytes"] / document["storage"]["baseline_bytes"],
        "planned_bytes": {program["method"]: program["planned_bytes"] for program in document["methods"]},
        "ndcg": {name: found["ndcg@20"] for name, found in document["metrics"].items()},
        "device": json.loads(answer.stdout),
    }


def _take_apart(recorder: Recorder, pipeline: ModuleType, stages: ModuleType) -> None:
    """Count parts of a stage by themselves: the exporter tells of three things as one."""
    for module, name, title in (
        (stages, "select", "selection"),
        (stages, "rewire", "rewiring"),
        (stages, "build_placeholders", "placeholders"),
        (pipeline, "_full_metrics", "evaluating"),
        (pipeline, "_bundle_metrics", "evaluating"),
    ):
        setattr(module, name, recorder.inside(title, getattr(module, name)))


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
