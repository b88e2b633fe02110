"""Training in the folded form: it learns, and folded rows of k = c are graph propagation itself."""

from __future__ import annotations

import numpy as np
import pytest

from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError
from lerg_edge.folding.matrix import largest_entries
from lerg_edge.folding.training import train_codebook
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.training.options import EpochReport
from lerg_edge.training.pretraining import TrainingOptions, assign, pretrain, validation_cut

OPTIONS = TrainingOptions(
    dim=8, bits=8, epochs=6, batch=256, seed=1, device="cpu", l2=0.0, learning_rate=0.05
)


def test_all_entries_of_p_train_as_the_graph_does(interactions: Interactions) -> None:
    """The same loss, epoch by epoch, from the same start: H = P E, whichever way it is computed."""
    options = TrainingOptions(
        dim=8, bits=16, epochs=3, batch=256, seed=1, device="cpu", l2=0.0, start="normal", start_scale=0.1
    )
    assignment = assign(interactions, options, codebook_rows=20)
    fit = validation_cut(interactions.matrix(), options).train
    rows = largest_entries(fit, assignment, layers=3, entries=20)
    graph, folded = [], []
    pretrain(interactions, assignment, options, on_epoch=graph.append)
    train_codebook(interactions, rows, options, on_epoch=folded.append)
    for one, other in zip(graph, folded, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=5e-3)


def test_few_entries_learn_in_their_own_form(interactions: Interactions) -> None:
    assignment = assign(interactions, OPTIONS, codebook_rows=30)
    fit = validation_cut(interactions.matrix(), OPTIONS).train
    rows = largest_entries(fit, assignment, layers=3, entries=4)
    reports: list[EpochReport] = []
    trained = train_codebook(interactions, rows, OPTIONS, on_epoch=reports.append)
    assert reports[-1].loss < 0.8 * reports[0].loss
    split = validation_cut(interactions.matrix(), OPTIONS)
    random = np.random.default_rng(0).normal(size=trained.codebook.shape).astype(np.float32)
    scores = []
    for codebook in (trained.quantised(), random):
        table = rows.compose(codebook)
        users, items = table[: interactions.user_count], table[interactions.user_count :]
        scores.append(evaluate_embeddings(users, items, split.train, split.held_out).ndcg)
    assert scores[0] > 1.3 * scores[1]


def test_rows_of_another_size_are_refused(interactions: Interactions) -> None:
    assignment = assign(interactions, OPTIONS, codebook_rows=30)
    rows = largest_entries(interactions.matrix(), assignment, layers=1, entries=2)
    with pytest.raises(InputError, match="entities"):
        train_codebook(interactions, rows.take(np.arange(10)), OPTIONS)
