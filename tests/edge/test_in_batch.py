"""The in-batch softmax and the propagation of a batch's members, against dense float64 formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph, propagate
from lerg_edge.propagation.partial import Members, propagate_members
from lerg_edge.training.contrast import Contrast
from lerg_edge.training.in_batch import InBatchSoftmax, PairBatch, in_batch_softmax, pair_batches
from lerg_edge.training.pretraining import TrainingOptions, pretrain, propagated, validation_cut

USERS, ITEMS, DIM, PAIRS = 20, 15, 5, 31


def _matrix() -> sparse.csr_matrix:
    return sparse.csr_matrix((np.random.default_rng(2).random((USERS, ITEMS)) < 0.25).astype(np.float32))


def _adjacency() -> sparse.csr_matrix:
    return full_adjacency(normalised_bipartite(_matrix()))


def _table() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(USERS + ITEMS, DIM, dtype=torch.float64, generator=generator).requires_grad_()


def _batch(group: int = PAIRS) -> tuple[np.ndarray, np.ndarray, PairBatch]:
    matrix = _matrix().tocoo()
    drawn = np.random.default_rng(4).permutation(matrix.nnz)[:PAIRS]
    users, items = matrix.row[drawn], matrix.col[drawn]
    batch = PairBatch.of(
        users, items, _adjacency(), user_count=USERS, layers=1, group=group, dtype=torch.float64
    )
    return users, items, batch


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_members_get_the_rows_and_gradients_of_the_whole_propagation(layers: int) -> None:
    graph = BipartiteGraph.from_interactions(_matrix(), dtype=torch.float64)
    entities = np.array([0, 3, 7, 19, 20, 28, 34])
    members = Members.of(entities, _adjacency(), layers=layers, dtype=torch.float64)
    table, weights = _table(), torch.randn(2, len(entities), DIM, dtype=torch.float64)
    found, own = propagate_members(graph, table, members, layers=layers)
    expected = propagate(graph, table, layers=layers)[entities]
    torch.testing.assert_close(found, expected)
    assert torch.equal(own, table[entities])
    (gradient,) = torch.autograd.grad((found * weights[0]).sum() + (own * weights[1]).sum(), table)
    whole = (expected * weights[0]).sum() + (table[entities] * weights[1]).sum()
    (expected_gradient,) = torch.autograd.grad(whole, table)
    torch.testing.assert_close(gradient, expected_gradient)


def _plain_loss(
    rows: torch.Tensor, users: np.ndarray, items: np.ndarray, settings: InBatchSoftmax, *, groups: int
) -> torch.Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1)
    degrees = np.asarray(_matrix().sum(axis=0))[0]
    weights = torch.from_numpy(degrees[items].astype(np.float64) ** -settings.correction)
    weights = weights / weights.mean()
    total = rows.new_zeros(())
    for part in np.array_split(np.arange(len(users)), groups):
        scores = unit[users[part]] @ unit[USERS + items[part]].T / settings.temperature
        touched = torch.from_numpy(_matrix()[users[part]][:, items[part]].toarray() > 0)
        denominator = torch.where(touched, 0.0, weights[part] * torch.exp(scores)).sum(dim=1)
        pushed = torch.log(denominator[denominator > 0]).sum()
        total = total + settings.power * pushed - scores.diagonal().sum()
    return total / len(users)


@pytest.mark.parametrize(("group", "groups"), [(PAIRS, 1), (10, 4), (2, 16)])
@pytest.mark.parametrize(("power", "correction"), [(1.0, 0.0), (0.6, 0.0), (1.2, 0.0), (0.9, 0.7)])
def test_the_loss_of_a_step_and_its_gradient_are_those_of_plain_autograd(
    group: int, groups: int, power: float, correction: float
) -> None:
    users, items, batch = _batch(group)
    graph = BipartiteGraph.from_interactions(_matrix(), dtype=torch.float64)
    table = _table()
    chosen = InBatchSoftmax(temperature=0.3, power=power, group=group, correction=correction)
    found = chosen.loss(table, graph, batch, layers=1, l2=0.03, noise=None)
    expected = _plain_loss(propagate(graph, table, layers=1), users, items, chosen, groups=groups)
    squares = table.square().sum(dim=1)
    expected = expected + 0.03 / 2 * (squares[users] + squares[USERS + items]).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(torch.autograd.grad(found, table), torch.autograd.grad(expected, table))


def test_parts_of_a_group_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, batch = _batch(group=16)
    rows = torch.randn(len(batch.counts), DIM, dtype=torch.float64, requires_grad=True)
    settings = InBatchSoftmax(temperature=0.2, power=0.9, group=16, correction=0.3)

    def of(at_once: int) -> list[torch.Tensor]:
        monkeypatch.setattr("lerg_edge.training.in_batch._PAIRS_AT_ONCE", at_once)
        loss = in_batch_softmax(rows, batch, settings)
        return [loss.detach(), *torch.autograd.grad(3 * loss, rows)]

    torch.testing.assert_close(of(5), of(4096))


def test_a_batch_of_two_groups_has_the_mean_gradient_of_two_batches() -> None:
    users, items, _ = _batch()
    graph = BipartiteGraph.from_interactions(_matrix(), dtype=torch.float64)
    table, chosen = _table(), InBatchSoftmax(group=15)

    def gradient(part: slice) -> torch.Tensor:
        batch = PairBatch.of(
            users[part],
            items[part],
            _adjacency(),
            user_count=USERS,
            layers=1,
            group=15,
            dtype=torch.float64,
        )
        loss = chosen.loss(table, graph, batch, layers=1, l2=0.01, noise=None)
        return torch.autograd.grad(loss, table)[0]

    halves = (gradient(slice(0, 15)) + gradient(slice(15, 30))) / 2
    torch.testing.assert_close(gradient(slice(0, 30)), halves)


def test_an_epoch_has_every_pair_once_and_is_drawn_by_its_generator() -> None:
    def drawn(seed: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for batch in pair_batches(_matrix(), batch=10, layers=1, group=10, rng=np.random.default_rng(seed)):
            assert len(batch) <= 10
            entities = batch.members.entities
            found += zip(
                entities[batch.users].tolist(), (entities[batch.items] - USERS).tolist(), strict=True
            )
        return found

    first = drawn(3)
    assert sorted(first) == sorted(zip(*map(np.ndarray.tolist, _matrix().nonzero()), strict=True))
    assert first == drawn(3) != drawn(4)


def test_what_a_user_has_touched_is_no_negative_and_who_touched_all_is_only_drawn_near() -> None:
    """Two users have touched the one item that two pairs have; a third has touched another."""
    matrix = sparse.csr_matrix(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    adjacency = full_adjacency(normalised_bipartite(matrix))

    def step(users: list[int], items: list[int]) -> tuple[float, torch.Tensor, torch.Tensor]:
        batch = PairBatch.of(
            np.array(users), np.array(items), adjacency, user_count=3, layers=0, group=8, dtype=torch.float64
        )
        rows = torch.randn(
            len(batch.counts), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        ).requires_grad_()
        loss = in_batch_softmax(rows, batch, InBatchSoftmax(temperature=0.5, power=0.7, group=8))
        return (
            loss.item(),
            torch.nn.functional.normalize(rows.detach(), dim=1),
            torch.autograd.grad(loss, rows)[0],
        )

    loss, unit, gradient = step([0, 1], [0, 0])
    cosines = unit[:2] @ unit[2]
    assert loss == pytest.approx(-(cosines / 0.5).mean().item())
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum(dim=1) > 0).all()
    # The third user's item is the others' only negative, once, and theirs are the third's, twice.
    loss, unit, _ = step([0, 1, 2], [0, 0, 1])
    scores = unit[:3] @ unit[[3, 3, 4]].T / 0.5
    denominators = torch.stack([scores[0, 2], scores[1, 2], torch.logsumexp(scores[2, :2], dim=0)])
    assert loss == pytest.approx((0.7 * denominators - scores.diagonal()).mean().item())


def test_a_batch_of_other_groups_is_refused() -> None:
    batch = _batch(group=8)[2]
    rows = torch.ones(len(batch.counts), DIM, dtype=torch.float64)
    with pytest.raises(InputError, match="groups of 8 and the loss has 9"):
        in_batch_softmax(rows, batch, InBatchSoftmax(group=9))


def test_rows_of_length_zero_and_far_scores_stay_finite() -> None:
    users, items, batch = _batch()
    others = np.log((_matrix()[users][:, items].toarray() == 0).sum(axis=1)).mean()
    rows, cold = (
        torch.zeros(len(batch.counts), DIM, requires_grad=True),
        InBatchSoftmax(temperature=0.02, power=1, group=PAIRS),
    )
    loss = in_batch_softmax(rows, _single(batch), cold)
    assert loss.item() == pytest.approx(others, rel=1e-5)
    assert torch.isfinite(torch.autograd.grad(loss, rows)[0]).all()
    same = torch.ones(len(batch.counts), DIM, requires_grad=True)
    loss = in_batch_softmax(same, _single(batch), cold)
    assert loss.item() == pytest.approx(others, rel=1e-4)


def _single(batch: PairBatch) -> PairBatch:
    return replace(
        batch,
        degrees=batch.degrees.float(),
        pairs_of=replace(batch.pairs_of, weights=batch.pairs_of.weights.float()),
    )


def _clubs() -> Interactions:
    """Three clubs of users who touch, each, most items of their own club and no other."""
    rng = np.random.default_rng(5)
    club = np.kron(np.eye(3), np.ones((20, 12)))
    users, items = np.nonzero(club * (rng.random(club.shape) < 0.7))
    return Interactions.from_raw(users.tolist(), items.tolist())


def test_who_is_of_a_club_is_told_by_dot_products() -> None:
    data = _clubs()
    options = TrainingOptions(
        dim=8,
        bits=32,
        layers=1,
        epochs=30,
        batch=64,
        loss="in-batch",
        learning_rate=1e-2,
        start="normal",
        start_scale=0.01,
        validation_share=0.0,
    )
    entities = data.user_count + data.item_count
    rows = propagated(pretrain(data, identity_assignment(entities), options), data.matrix())
    scores = rows[: data.user_count] @ rows[data.user_count :].T
    own = np.kron(np.eye(3), np.ones((20, 12))) > 0
    new = own & (data.matrix().toarray() == 0)
    told = [
        scores[user, new[user]][:, None] > scores[user, ~own[user]] for user in np.flatnonzero(new.any(1))
    ]
    assert len(told) > 50
    assert (
        np.mean([part.mean() for part in told]) > 0.98
    )  # of items of the club that the user has not touched


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, "loss is 'hinge'; choose bpr, softmax or in-batch"),
        (
            {"loss_settings": {"heat": 1.0}},
            "in-batch has no setting 'heat'; it has temperature, power, group",
        ),
        ({"loss": "bpr", "loss_settings": {"group": 3}}, "bpr has no settings; leave out group"),
        ({"loss_settings": {"temperature": 0.001}}, "temperature of the in-batch softmax is 0.001"),
        (
            {"loss_settings": {"power": 2.5}},
            "power of the in-batch softmax is 2.5; it must lie above 0 and at most at 2",
        ),
        ({"loss_settings": {"group": 1}}, "group of the in-batch softmax is 1"),
        ({"loss_settings": {"correction": -0.1}}, "correction of the in-batch softmax is -0.1"),
        ({"augment": Contrast()}, "augment goes with bpr or softmax"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainingOptions(**{"loss": "in-batch", **changes})


def test_validation_pairs_are_no_edges_of_the_batches(interactions: Interactions) -> None:
    split = validation_cut(interactions.matrix(), TrainingOptions())
    edges = 0
    for batch in pair_batches(split.train, batch=10**6, layers=1, group=64, rng=np.random.default_rng(0)):
        assert batch.members.incoming is not None
        edges += len(batch.members.incoming.indices)
    assert edges == 2 * split.train.nnz
