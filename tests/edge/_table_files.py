"""Models as other libraries save them, written here byte by byte as they do it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch


def rows(seed: int, count: int, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


USERS, ITEMS = rows(1, 9), rows(2, 7)


def implicit(path: Path) -> Path:
    """`AlternatingLeastSquares.save`: the tables among scalars of the model."""
    np.savez(
        path,
        user_factors=USERS,
        item_factors=ITEMS,
        regularization=0.01,
        factors=6,
        num_threads=1,
        use_native=True,
        dtype=np.dtype(np.float32).name,
    )
    return path


def lightgcn(path: Path, *, zipped: bool = True) -> Path:
    """LightGCN-PyTorch's `torch.save(Recmodel.state_dict(), ...)`."""
    state = OrderedDict(
        {"embedding_user.weight": torch.tensor(USERS), "embedding_item.weight": torch.tensor(ITEMS)}
    )
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    return path


def recbole(path: Path, *, wrapped: bool = True) -> Path:
    """The weights of RecBole's checkpoint, whose first rows stand for padding."""
    tables = {
        name: torch.tensor(np.concatenate([np.zeros((1, 6), np.float32), table]))
        for name, table in (("user_embedding.weight", USERS), ("item_embedding.weight", ITEMS))
    }
    torch.save({"epoch": 3, "state_dict": tables, "best_valid_score": 0.1} if wrapped else tables, path)
    return path


def word2vec(path: Path) -> Path:
    """gensim's `KeyedVectors.save_word2vec_format`; an id may hold blanks."""
    lines = [f"{len(ITEMS)} 6"]
    lines += [f"film {number} {' '.join(map(repr, row.tolist()))}" for number, row in enumerate(ITEMS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


MODELS = {"implicit": implicit, "lightgcn": lightgcn, "recbole": recbole, "word2vec": word2vec}
