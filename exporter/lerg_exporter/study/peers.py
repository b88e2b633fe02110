"""What else could rank for somebody by their history: peers of a bundle, made of the same training pairs.

- `cosines`: an item scores the sum of its cosines to those of the history, over users who touched them.
- `ease`: the closed-form linear model of Steck (arXiv 1905.03375).
- `als`: implicit's alternating least squares (Hu, Koren and Volinsky, ICDM 2008), the history folded in.

Their settings are chosen on users who are held out of the training pairs, as those of a bundle are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError
from lerg_edge.histories.newcomers import hold_out_users
from lerg_edge.metrics import ranking_metrics

__all__ = [
    "EASE_ITEMS",
    "Peer",
    "best_peer",
    "check_peers",
    "ease_weights",
    "fitted_factors",
    "has_implicit",
    "too_large",
]

EASE_ITEMS = 20_000  # a dense matrix of all pairs of items: 3.2 GB in doubles
_EASE_PENALTIES = (50.0, 200.0, 1_000.0)
_ALS_CONFIDENCES = (2.0, 10.0, 40.0)
_ALS_PENALTIES = (0.1, 10.0)
_ALS_ROUNDS = 15
_RANKING = 20


class Peer(Protocol):
    """Ranks by histories."""

    def scores(self, histories: sparse.csr_matrix) -> np.ndarray:
        """Float [B, I] of histories [B, I]."""


def has_implicit() -> bool:
    """Whether the package is installed that makes factors."""
    return find_spec("implicit") is not None


def ease_weights(matrix: sparse.csr_matrix, penalty: float) -> np.ndarray:
    """B = I - P / diag(P) with P = (X'X + penalty I)^-1, its diagonal 0 (arXiv 1905.03375, equation 8).

    Args:
        matrix: interactions X [U, I].

    Returns:
        Float64 [I, I], from what somebody touched to what it raises.
    """
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty
    inverse = np.linalg.inv(gram)
    weights: np.ndarray = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def fitted_factors(place: str, matrix: sparse.csr_matrix, *, columns: int, seed: int, **settings: Any) -> Any:
    """A model of implicit that has seen a matrix.

    Args:
        place: its module in implicit and its name, such as `als:AlternatingLeastSquares`.
        matrix: interactions [U, I].
        columns: of its factors.
        settings: others of its own.
    """
    module, _, name = place.partition(":")
    make = getattr(import_module(f"implicit.{module}"), name)
    model = make(factors=columns, random_state=seed, use_gpu=False, **settings)
    model.fit(matrix, show_progress=False)
    return model


def check_peers(names: Sequence[str]) -> None:
    """Refuse peers that cannot be made here, before anything is trained.

    Raises:
        InputError: a library is missing.
    """
    if "als" in names and not has_implicit():
        raise InputError(
            "[arrivals] peers has als, which needs implicit; install it with pip install implicit"
        )


def too_large(name: str, items: int) -> bool:
    """Whether a catalogue is too large for a peer."""
    return name == "ease" and items > EASE_ITEMS


def best_peer(name: str, train: Interactions, *, dim: int, seed: int) -> Peer:
    """A peer made of all training pairs, with the settings that are best for users held out of them.

    Args:
        name: one of `lerg_exporter.study._spec.PEERS`.
        dim: numbers in a row, of peers that have rows.
        seed: of factors, and of who is held out.
    """
    makers = _makers(name, dim=dim, seed=seed)
    chosen = makers[0]
    if len(makers) > 1:
        held = hold_out_users(train, seed=seed)
        known, seen = held.known.matrix(), held.histories.matrix(train.item_count)
        scores = [_ndcg(make(known), seen, held.wanted) for make in makers]
        chosen = makers[int(np.argmax(scores))]
    return chosen(train.matrix())


def _makers(name: str, *, dim: int, seed: int) -> list[Callable[[sparse.csr_matrix], Peer]]:
    if name == "cosines":
        return [_Cosines]
    if name == "ease":
        return [lambda matrix, penalty=penalty: _Ease(matrix, penalty) for penalty in _EASE_PENALTIES]  # type: ignore[misc]
    return [
        lambda matrix, alpha=alpha, penalty=penalty: _Als(  # type: ignore[misc]
            matrix, dim=dim, alpha=alpha, penalty=penalty, seed=seed
        )
        for alpha in _ALS_CONFIDENCES
        for penalty in _ALS_PENALTIES
    ]


def _ndcg(peer: Peer, seen: sparse.csr_matrix, wanted: sparse.csr_matrix) -> float:
    scores = peer.scores(seen)
    scores[seen.toarray() > 0] = -np.inf
    top = np.argsort(-scores, axis=1, kind="stable")[:, :_RANKING]
    return ranking_metrics(top, wanted).ndcg


class _Cosines:
    """Sums of cosines; the columns are never compared all with all."""

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        lengths = np.sqrt(np.maximum(np.asarray(matrix.sum(0)).ravel(), 1.0))
        self._columns = (matrix @ sparse.diags(1.0 / lengths)).tocsr()

    def scores(self, histories: sparse.csr_matrix) -> np.ndarray:
        """See :class:`Peer`."""
        found: np.ndarray = (histories @ self._columns.T @ self._columns).toarray()
        return found


class _Ease:
    """X B, of `ease_weights`."""

    def __init__(self, matrix: sparse.csr_matrix, penalty: float) -> None:
        self._weights = ease_weights(matrix, penalty)

    def scores(self, histories: sparse.csr_matrix) -> np.ndarray:
        """See :class:`Peer`."""
        found: np.ndarray = np.asarray(histories @ self._weights)
        return found


class _Als:
    """Factors of implicit; somebody's are those that fit their history best, the items' being as they are."""

    def __init__(
        self, matrix: sparse.csr_matrix, *, dim: int, alpha: float, penalty: float, seed: int
    ) -> None:
        self._model = fitted_factors(
            "als:AlternatingLeastSquares",
            matrix,
            columns=dim,
            seed=seed,
            regularization=penalty,
            alpha=alpha,
            iterations=_ALS_ROUNDS,
        )

    def scores(self, histories: sparse.csr_matrix) -> np.ndarray:
        """See :class:`Peer`."""
        rows = self._model.recalculate_user(np.arange(histories.shape[0]), histories.tocsr())
        found: np.ndarray = np.atleast_2d(rows) @ self._model.item_factors.T
        return found
