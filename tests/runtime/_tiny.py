"""A model small enough to check by hand, and a bundle of it that needs no torch to be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime.bundle import pack, write_bundle
from lerg_runtime.bundle._arrays import array_bytes

ARENA_BYTES = {"finetune": [4096, 128], "encode": [256], "recommend": []}
SCRATCH_BYTES = {"finetune": 2048, "encode": 1024, "recommend": 0}

LONER = 9  # the pruned user who has touched nothing, in the fixture `lonely`


@dataclass(frozen=True)
class TinyModel:
    """A rewired model whose propagation is a dense matrix.

    Attributes:
        user_rows, item_rows: float32 [m_side, c], propagated embedding of the retained = rows @ codebook.
        user_layer, item_layer: float32 [m_side, c], their layer-0 embedding.
        user_places, item_places: float32 [r_side, d] placeholders.
    """

    users: int
    items: int
    dim: int
    bits: int
    user_rows: np.ndarray
    item_rows: np.ndarray
    user_layer: np.ndarray
    item_layer: np.ndarray
    user_places: np.ndarray
    item_places: np.ndarray
    retained_users: np.ndarray
    retained_items: np.ndarray
    user_placeholder: np.ndarray
    item_placeholder: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]
    codebook: np.ndarray
    step: np.ndarray

    @property
    def codebook_rows(self) -> int:
        return self.user_rows.shape[1]

    def slots(self, side: str) -> np.ndarray:
        """int32, by the definition and one entity at a time."""
        kept, placeholder = getattr(self, f"retained_{side}s"), getattr(self, f"{side}_placeholder").tolist()
        slots, rank = [], 0
        for is_kept in kept:
            if is_kept:
                slots.append(rank)
                rank += 1
            else:
                slots.append(int(kept.sum()) + placeholder.pop(0))
        return np.array(slots, dtype=np.int32)

    def scores(self) -> np.ndarray:
        """float64 [U, I] by dense algebra: the oracle of what `recommend` ranks by."""
        quantised = self.codebook.astype(np.float64) * self.step.astype(np.float64).reshape(-1, 1)
        user_table = np.concatenate([self.user_rows @ quantised, self.user_places])
        item_table = np.concatenate([self.item_rows @ quantised, self.item_places])
        return user_table[self.slots("user")] @ item_table[self.slots("item")].T

    def seen(self) -> np.ndarray:
        """bool [U, I]."""
        seen = np.zeros((self.users, self.items), dtype=bool)
        seen[self.pairs] = True
        return seen


def tiny_model(
    *,
    users: int = 30,
    items: int = 40,
    bits: int = 8,
    codebook_rows: int = 12,
    dim: int = 8,
    per_row: bool = False,
    seed: int = 0,
) -> TinyModel:
    """A random model with two communities, a fifth of each side pruned, and two placeholders a side."""
    random = np.random.default_rng(seed)
    affinity = (np.arange(users)[:, None] % 2) == (np.arange(items)[None, :] % 2)
    seen = random.random((users, items)) < np.where(affinity, 0.25, 0.02)
    seen[np.arange(users), np.arange(users) % items] = True
    kept = [np.arange(count) % 5 != 4 for count in (users, items)]
    rows = []
    for side, count in enumerate((users, items)):
        layer = np.zeros((count, codebook_rows), dtype=np.float32)
        layer[np.arange(count), np.arange(count) % codebook_rows] = 0.9
        layer[np.arange(count), (np.arange(count) // 2) % codebook_rows] += 0.1
        mixed = layer + 0.3 * random.random((count, codebook_rows)).astype(np.float32)
        rows.append((mixed[kept[side]], layer[kept[side]]))
    half = 1 << (bits - 1)
    integers = random.integers(-half // 2, half // 2, size=(codebook_rows, dim))
    step = (0.2 / half * (1 + random.random(codebook_rows if per_row else 1))).astype(np.float32)
    if bits == 32:
        integers, step = (
            random.normal(size=(codebook_rows, dim)).astype(np.float32) / 10,
            np.ones(1, np.float32),
        )
    return TinyModel(
        users=users,
        items=items,
        dim=dim,
        bits=bits,
        user_rows=rows[0][0],
        item_rows=rows[1][0],
        user_layer=rows[0][1],
        item_layer=rows[1][1],
        user_places=random.normal(size=(2, dim)).astype(np.float32) / 10,
        item_places=random.normal(size=(2, dim)).astype(np.float32) / 10,
        retained_users=kept[0],
        retained_items=kept[1],
        user_placeholder=random.integers(0, 2, size=int((~kept[0]).sum())),
        item_placeholder=random.integers(0, 2, size=int((~kept[1]).sum())),
        pairs=tuple(part.astype(np.int32) for part in np.nonzero(seen)),  # type: ignore[arg-type]
        codebook=integers,
        step=step,
    )


def tiny_manifest(
    model: TinyModel,
    *,
    max_batch: int = 64,
    max_users: int = 4,
    max_k: int = 7,
    pruned_users: str | None = None,
    serving: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest that an exporter would hand to the writer."""
    shape = {
        "users": model.users,
        "items": model.items,
        "dim": model.dim,
        "bits": model.bits,
        "codebook_rows": model.codebook_rows,
        "codes_per_entity": 2,
        "anchor_weight": 0.9,
        "layers": 1,
        "retained_users": len(model.user_rows),
        "retained_items": len(model.item_rows),
        "edges": len(model.pairs[0]),
        "user_placeholders": len(model.user_places),
        "item_placeholders": len(model.item_places),
        "step_shape": [len(model.step)],
        "max_batch": max_batch,
        "max_users": max_users,
        "max_k": max_k,
        "l2": 1e-3,
    }
    return {
        "created_with": {"lerg_edge": "0.1.0", "executorch": "1.5.1", "torch": "2.13.0"},
        "requires": {"executorch": "1.5"},
        "form": "shared",
        "lowering": "native",
        "propagation": "graph",
        "model": shape,
        "methods": [program_entry(method, shape) for method in ("finetune", "encode", "recommend")],
        **({} if serving is None else {"serving": serving}),
        **({} if pruned_users is None else {"serving": {"pruned_users": pruned_users}}),
        "storage": {"embedding_bytes": 100, "baseline_bytes": 1000, "items": {}},
        "metrics": {"rewired": {"recall@20": 0.5, "ndcg@20": 0.25, "users": model.users}},
        "macs": {"full": 10, "rewired": 5},
        "training": {"seed": 0},
        "finetune": {"learning_rate": 0.01, "batch": max_batch // 2},
    }


def program_entry(method: str, shape: dict[str, Any]) -> dict[str, Any]:
    """One entry of `methods`."""
    packed = {4: "uint8", 8: "int8", 16: "int16", 32: "float32"}[shape["bits"]]
    columns = shape["dim"] // (2 if shape["bits"] == 4 else 1)
    triples = [("int64", [shape["max_batch"]])] * 3
    weights = [("float32", [shape["codebook_rows"], shape["dim"]]), ("float32", shape["step_shape"])]
    tables = [
        ("float32", [shape[f"retained_{side}s"] + shape[f"{side}_placeholders"], shape["dim"]])
        for side in ("user", "item")
    ]
    users, items, most = shape["max_users"], shape["items"], shape["max_k"]
    inputs, outputs = {
        "finetune": (triples, [("float32", []), *weights, *weights]),
        "encode": ([(packed, [shape["codebook_rows"], columns]), weights[1]], tables),
        "recommend": (
            [
                ("float32", [users, shape["dim"]]),
                tables[1],
                ("int32", [items]),
                ("bool", [users, items]),
                ("int64", [most]),
            ],
            [("int64", [users, most]), ("float32", [users, most])],
        ),
    }[method]
    named = [
        [
            {"name": f"{kind}{index}", "dtype": dtype, "shape": sizes}
            for index, (dtype, sizes) in enumerate(tensors)
        ]
        for kind, tensors in (("in", inputs), ("out", outputs))
    ]
    return {
        "method": method,
        "file": "model.pte",
        "planned_bytes": sum(ARENA_BYTES[method]) + SCRATCH_BYTES[method],
        "arena_bytes": ARENA_BYTES[method],
        "scratch_bytes": SCRATCH_BYTES[method],
        "operators": ["lerg::fake"],
        "inputs": named[0],
        "outputs": named[1],
    }


def raw_ids(kind: str, count: int, *, prefix: str) -> list[Any]:
    """`count` raw ids in index order: text that is not ASCII, or integers with gaps and a negative one."""
    if kind == "text":
        return [f"{prefix}é{index:04d}" for index in range(count)]
    return [index * 10 - 20 for index in range(count)]


def write_tiny(
    folder: Path,
    model: TinyModel,
    *,
    ids: str = "text",
    item_ids: list[Any] | None = None,
    item_titles: list[str | None] | None = None,
    seen_only: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
    **manifest: Any,
) -> Path:
    """Write a bundle whose program `_fake_native` runs."""
    entry = tiny_manifest(model, **manifest)
    shape = entry["model"]
    arrays = {
        name: getattr(model, name)
        for name in ("user_rows", "item_rows", "user_layer", "item_layer", "user_places", "item_places")
    }
    names = ("users", "items", "dim", "bits", "codebook_rows", "max_batch", "max_users", "max_k")
    sizes = np.array([shape[name] for name in names] + [len(model.step)], dtype=np.int64)
    write_bundle(
        folder,
        manifest=entry,
        program=array_bytes({**arrays, "sizes": sizes, "l2": np.array(shape["l2"], dtype=np.float32)}),
        user_ids=raw_ids(ids, model.users, prefix="user"),
        item_ids=item_ids or raw_ids(ids, model.items, prefix="item"),
        retained_users=model.retained_users,
        retained_items=model.retained_items,
        user_placeholder=model.user_placeholder,
        item_placeholder=model.item_placeholder,
        interactions=model.pairs,
        seen_only=seen_only,
        codebook=pack(model.codebook, bits=model.bits),
        step=model.step,
        golden={"finetune.in.users": np.arange(3, dtype=np.int64)},
        item_titles=item_titles,
    )
    return folder


def others(model: TinyModel, *names: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each name a set of pairs that `model.pairs` does not have: one or two of most users."""
    free = ~model.seen()
    sets = {}
    for place, name in enumerate(names):
        chosen = np.zeros_like(free)
        for user in range(model.users):
            if user % (5 + place):
                chosen[user, np.flatnonzero(free[user])[1 + place : 2 + place + user % 2]] = True
        free &= ~chosen
        sets[name] = tuple(part.astype(np.int32) for part in np.nonzero(chosen))
    return sets  # type: ignore[return-value]
