"""Programs of `_tiny` bundles in numpy, behind the interface of the native module.

Everything but programs (the budget, optimisers, sampling, quantisation) is the native module itself, so
that what a fake program takes is counted and capped as ExecuTorch's would be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _tiny import ARENA_BYTES, SCRATCH_BYTES, program_entry

from lerg_runtime import _native
from lerg_runtime.bundle._arrays import read_arrays

__file__ = _native.__file__

Budget = _native.Budget
adam_step = _native.adam_step
sgd_step = _native.sgd_step
quantise = _native.quantise
dequantise = _native.dequantise
sample_negatives = _native.sample_negatives
hardest_candidates = _native.hardest_candidates
ridge_metric = _native.ridge_metric
build_info = _native.build_info
set_threads = _native.set_threads
threads_were_set = _native.threads_were_set
TEXT_ODDS = _native.TEXT_ODDS
encode_array = _native.encode_array
decode_array = _native.decode_array
encode_pairs = _native.encode_pairs
pair_sizes = _native.pair_sizes
decode_pairs = _native.decode_pairs

STRUCTURE_BYTES = 8 * 1024


class Program:
    """Reads the arrays that `write_tiny` put in place of a program."""

    def __init__(self, path: str, budget: Any, data: np.ndarray) -> None:
        self.data = data
        self.model = read_arrays(data.tobytes())
        self.budget = budget

    def methods(self) -> list[str]:
        return ["finetune", "encode", "recommend"]

    def arena_bytes(self, method: str) -> list[int]:
        return ARENA_BYTES[method]

    def parameters(self, method: str) -> list[tuple[str, str, tuple[int, ...]]]:
        if method != "finetune":
            return []
        _, _, dim, _, codes, _, _, _, steps = self.model["sizes"].tolist()
        return [("codebook", "float32", (codes, dim)), ("step", "float32", (steps,))]

    def load(
        self,
        method: str,
        parameters: dict[str, np.ndarray] | None = None,
        scratch_bytes: int = 0,
        trace: bool = False,
    ) -> Method:
        if parameters is None:
            parameters = {}
        if scratch_bytes != SCRATCH_BYTES[method]:
            raise ValueError(f"scratch of {method} is not what the manifest says")
        return Method(self, method, parameters, trace)


class Method:
    """One method, holding as much of the budget as a real one would."""

    def __init__(self, program: Program, method: str, parameters: dict[str, np.ndarray], trace: bool) -> None:
        self._model = program.model
        self._budget = program.budget
        self._method = method
        self._parameters = parameters
        self._trace = trace
        sizes = [*ARENA_BYTES[method], SCRATCH_BYTES[method], STRUCTURE_BYTES]
        self._held = [self._budget.empty((size,), "uint8") for size in sizes if size]
        names = ("users", "items", "dim", "bits", "codebook_rows", "max_batch", "max_users", "max_k", "steps")
        self.shape = dict(zip(names, self._model["sizes"].tolist(), strict=True))
        shape = {
            **self.shape,
            "step_shape": [self.shape["steps"]],
            "retained_users": len(self._model["user_rows"]),
            "retained_items": len(self._model["item_rows"]),
            "user_placeholders": len(self._model["user_places"]),
            "item_placeholders": len(self._model["item_places"]),
        }
        entry = program_entry(method, shape)
        self.input_specs = [(tensor["dtype"], tuple(tensor["shape"])) for tensor in entry["inputs"]]
        self.output_specs = [(tensor["dtype"], tuple(tensor["shape"])) for tensor in entry["outputs"]]

    def execute(
        self, *inputs: np.ndarray, outputs: list[np.ndarray | None] | None = None
    ) -> list[np.ndarray]:
        for number, (array, (dtype, largest)) in enumerate(zip(inputs, self.input_specs, strict=True)):
            fits = array.ndim == len(largest) and all(
                0 < have <= most for have, most in zip(array.shape, largest, strict=True)
            )
            if str(array.dtype) != dtype or not fits or not array.flags.c_contiguous:
                raise ValueError(f"{self._method}: input {number} is {array.dtype} {array.shape}")
        results = getattr(self, f"_{self._method}")(*inputs)
        given = [None] * len(results) if outputs is None else outputs
        written = []
        for result, target, (dtype, largest) in zip(results, given, self.output_specs, strict=True):
            if any(result is parameter for parameter in self._parameters.values()):
                written.append(result)
                continue
            place = self._budget.empty(largest, dtype) if target is None else target
            place = place[(*(slice(0, length) for length in result.shape), ...)]
            place[...] = result
            written.append(place)
        return written

    def events(self) -> list[tuple[str, float]]:
        return [("lerg::fake", 0.5), ("lerg::fake", 0.25)] if self._trace else []

    def _encode(self, codes: np.ndarray, step: np.ndarray) -> list[np.ndarray]:
        weights = np.empty((self.shape["codebook_rows"], self.shape["dim"]), dtype=np.float32)
        dequantise(codes, step, self.shape["bits"], weights)
        return [self._table(side, weights) for side in ("user", "item")]

    def _recommend(
        self,
        rows: np.ndarray,
        table: np.ndarray,
        slots: np.ndarray,
        seen: np.ndarray,
        ranks: np.ndarray,
    ) -> list[np.ndarray]:
        scores = np.where(seen, -np.inf, rows @ table[slots].T).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : len(ranks)]
        best = np.take_along_axis(scores, order, axis=1)
        return [np.where(best == -np.inf, -1, order), best]

    def _finetune(self, users: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> list[np.ndarray]:
        """BPR with the straight-through gradient of LSQ, dense and in float64."""
        if len(users) < 2:
            raise ValueError("finetune: a batch has at least 2 triples")
        latent, step = self._parameters["codebook"], self._parameters["step"]
        high = (1 << (self.shape["bits"] - 1)) - 1
        low = -high - 1
        ratio = latent.astype(np.float64) / step.reshape(-1, 1)
        rounded = np.rint(np.clip(ratio, low, high))
        weights = rounded * step.reshape(-1, 1)
        l2, count = float(self._model["l2"]), len(users)
        rows = {side: self._table(side, weights) for side in ("user", "item")}
        layers = {side: self._layer(side, weights) for side in ("user", "item")}
        difference = rows["item"][negatives] - rows["item"][positives]
        margin = (rows["user"][users] * difference).sum(axis=1)
        loss = float(np.logaddexp(0.0, margin).mean())
        pull = (1.0 / (1.0 + np.exp(-margin)) / count)[:, None]
        gradient = np.zeros_like(weights)
        for side, slots, rows_gradient in (
            ("user", users, pull * difference),
            ("item", positives, -pull * rows["user"][users]),
            ("item", negatives, pull * rows["user"][users]),
        ):
            kept = slots < len(self._model[f"{side}_rows"])
            gradient += self._model[f"{side}_rows"][slots[kept]].T @ rows_gradient[kept]
            layer = layers[side][slots]
            loss += 0.5 * l2 * float((layer**2).sum() / count)
            gradient += self._model[f"{side}_layer"][slots[kept]].T @ (l2 / count * layer[kept])
        inside = (ratio >= low) & (ratio <= high)
        share = gradient * np.where(inside, rounded - ratio, np.clip(ratio, low, high))
        groups = share.sum(axis=1) if len(step) > 1 else share.sum(keepdims=True).reshape(1)
        scale = 1.0 / np.sqrt(latent.size / len(step) * high)
        return [np.array(loss), gradient * inside, groups * scale, latent, step]

    def _table(self, side: str, weights: np.ndarray) -> np.ndarray:
        return np.concatenate([self._model[f"{side}_rows"] @ weights, self._model[f"{side}_places"]])

    def _layer(self, side: str, weights: np.ndarray) -> np.ndarray:
        pruned = np.zeros_like(self._model[f"{side}_places"])
        return np.concatenate([self._model[f"{side}_layer"] @ weights, pruned])
