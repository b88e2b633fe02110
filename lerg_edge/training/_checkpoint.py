"""Training that can be taken up again, and trained models on disk.

A checkpoint is ``<path>.json`` and the tensor file that it names. Tensors alternate between two files; the
JSON is replaced last, in one step, so at any moment it names a whole tensor file.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lerg_edge._fingerprint import fingerprint
from lerg_edge.codes.embedding import Composition
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.errors import InputError
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions

_VERSION = 1
_LOG = logging.getLogger(__name__)
# What may differ between the run that wrote a checkpoint and the one that takes it up.
_FREE = ("epochs", "patience", "device", "threads")


@dataclass(slots=True, eq=False)
class Moments:
    """Adam's running averages of one parameter; ``count`` is a float32 scalar."""

    first: torch.Tensor
    second: torch.Tensor
    count: torch.Tensor

    @classmethod
    def zero(cls, parameter: torch.Tensor) -> Moments:
        count = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return cls(torch.zeros_like(parameter), torch.zeros_like(parameter), count)


@dataclass(slots=True, eq=False)
class Progress:
    """The state of training between two epochs."""

    codebook: torch.Tensor
    step: torch.Tensor
    initial_step: float
    codebook_moments: Moments
    step_moments: Moments
    best_codebook: torch.Tensor
    best_step: torch.Tensor
    best_epoch: int = 0
    best_ndcg: float = -1.0
    history: list[EpochReport] = field(default_factory=list)

    @classmethod
    def start(cls, codebook: torch.Tensor, step: torch.Tensor) -> Progress:
        return cls(
            codebook,
            step,
            float(step.mean()),
            Moments.zero(codebook),
            Moments.zero(step),
            codebook.clone(),
            step.clone(),
        )

    @property
    def epoch(self) -> int:
        """Number of whole epochs behind us."""
        return len(self.history)

    def add(self, report: EpochReport) -> None:
        """Close an epoch."""
        self.history.append(report)
        if report.best:
            self.best_epoch = report.epoch
            self.best_ndcg = -1.0 if report.ndcg is None else report.ndcg
            self.best_codebook = self.codebook.detach().clone()
            self.best_step = self.step.detach().clone()


class Checkpoint:
    """The files of one training run."""

    def __init__(self, path: Path, run: str) -> None:
        self._path, self._run = path, run

    def save(self, progress: Progress) -> None:
        """Keep the state after an epoch; whatever moment power fails at, one whole state remains."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        tensors = self._tensors(progress.epoch)
        content = {
            "codebook": progress.codebook.detach(),
            "step": progress.step.detach(),
            "codebook_first": progress.codebook_moments.first,
            "codebook_second": progress.codebook_moments.second,
            "codebook_count": progress.codebook_moments.count,
            "step_first": progress.step_moments.first,
            "step_second": progress.step_moments.second,
            "step_count": progress.step_moments.count,
            "best_codebook": progress.best_codebook,
            "best_step": progress.best_step,
        }
        save_file({name: value.cpu().contiguous() for name, value in content.items()}, tensors)
        _sync(tensors)
        history = [{k: v for k, v in asdict(report).items() if k != "seconds"} for report in progress.history]
        state = {
            "version": _VERSION,
            "run": self._run,
            "tensors": tensors.name,
            "initial_step": progress.initial_step,
            "best_epoch": progress.best_epoch,
            "best_ndcg": progress.best_ndcg,
            "history": history,
        }
        beside = self._state.with_name(self._state.name + ".new")
        beside.write_text(json.dumps(state, indent=1))
        _sync(beside)
        beside.replace(self._state)

    def load(self, *, device: torch.device) -> Progress | None:
        """Bring back the last whole epoch; None if there is none, or none that can be read (the log says so).

        Raises:
            InputError: the files are of a run with other data or options.
        """
        if not self._state.exists():
            return None
        try:
            state = json.loads(self._state.read_text())
            foreign = state["version"] != _VERSION or state["run"] != self._run
            if not foreign:
                tensors = load_file(self._path.parent / Path(state["tensors"]).name, device=str(device))
                return _progress(state, tensors)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            _LOG.warning("'%s' is damaged and training starts anew: %s", self._state, error)
            return None
        raise InputError(
            f"'{self._state}' belongs to a training run with other data or options; remove it or name another"
        )

    @property
    def _state(self) -> Path:
        return self._path.with_name(self._path.name + ".json")

    def _tensors(self, epoch: int) -> Path:
        return self._path.with_name(f"{self._path.name}-{epoch % 2}.safetensors")


def _progress(state: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Progress:
    def moments(name: str) -> Moments:
        return Moments(tensors[f"{name}_first"], tensors[f"{name}_second"], tensors[f"{name}_count"])

    return Progress(
        codebook=tensors["codebook"],
        step=tensors["step"],
        initial_step=state["initial_step"],
        codebook_moments=moments("codebook"),
        step_moments=moments("step"),
        best_codebook=tensors["best_codebook"],
        best_step=tensors["best_step"],
        best_epoch=state["best_epoch"],
        best_ndcg=state["best_ndcg"],
        history=[EpochReport(**report) for report in state["history"]],
    )


def run_fingerprint(
    split: ValidationSplit,
    assignment: Composition,
    options: TrainingOptions,
    *,
    start: Pretrained | np.ndarray | None = None,
) -> str:
    """Hash all that decides what a run computes: data, assignment, options and what it starts from."""
    free = set(_FREE)
    if options.schedule != "constant":
        free.remove("epochs")  # they say how fast the rate falls
    chosen = {each.name: getattr(options, each.name) for each in fields(options) if each.name not in free}
    return fingerprint(
        "training",
        train=split.train,
        held_out=split.held_out,
        assignment=assignment,
        options=chosen,
        start=[start.codebook, start.step] if isinstance(start, Pretrained) else start,
    )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
