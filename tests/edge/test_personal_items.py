"""Coded item rows, rows that are nobody's, and the choice of both on people held out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.histories.choosing import RuleChoice
from lerg_edge.histories.rule import Histories, HistoryRule
from lerg_edge.personal.choosing import CodingTrial, choose_coding, choose_table, try_codings
from lerg_edge.personal.coded_items import CodedItems
from lerg_edge.personal.coding import Coding, code_items, codings_for
from lerg_edge.personal.sheltering import Sheltered, degree_codes, degrees_of, shelter

CODINGS = (
    Coding("rows", 8),
    Coding("rows", 4),
    Coding("product", 8, 4, 32),
    Coding("folded", 8, 4, 64),
)


def item_rows(count: int = 300, dim: int = 16) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.normal(size=(count, dim)) * np.linspace(0.2, 2, dim)).astype(np.float32)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_products_of_coded_rows_come_near_those_of_the_rows(coding: Coding) -> None:
    rows = item_rows()
    coded = code_items(rows, coding, seed=0).rows()
    wanted, found = rows @ rows.T, coded @ coded.T  # a rotation of all rows changes none of these
    worst = {"rows": 0.2, "product": 0.75, "folded": 0.35}[coding.kind]
    assert np.linalg.norm(found - wanted) < worst * np.linalg.norm(wanted)


def test_codings_stay_below_the_bytes_that_are_stated() -> None:
    bound = 40_000
    found = codings_for(1_000, 64, most_bytes=bound)
    assert found
    assert all(coding.stored_bytes(1_000, 64) <= bound for coding in found)
    assert Coding("rows", 8) not in found
    assert [coding.stored_bytes(1_000, 64) for coding in found] == sorted(
        coding.stored_bytes(1_000, 64) for coding in found
    )


def test_a_table_of_three_items_can_be_coded() -> None:
    for coding in codings_for(3, 8):
        assert code_items(item_rows(3, 8), coding, seed=0).rows().shape == (3, 8)


def test_parts_that_do_not_fit_are_refused() -> None:
    coded = code_items(item_rows(), CODINGS[3], seed=0)
    with pytest.raises(InputError, match="cannot be"):
        CodedItems("product", coded.parts, coded.codebook, coded.step, 8)


def pairs(degrees: list[int], users: int) -> sparse.csr_matrix:
    """Item i is touched by `degrees[i]` users, no two items by the same ones where there are enough."""
    matrix = sparse.lil_matrix((users, len(degrees)), dtype=np.float32)
    start = 0
    for item, degree in enumerate(degrees):
        for user in range(start, start + degree):
            matrix[user % users, item] = 1
        start += degree
    return matrix.tocsr()


def test_every_row_is_shaped_by_enough_people() -> None:
    rng = np.random.default_rng(0)
    degrees = [1, 2, 3, 4] * 30 + [7, 9]
    matrix, rows = pairs(degrees, 400), rng.normal(size=(122, 8)).astype(np.float32)
    found = shelter(rows, matrix, least=5, seed=0)
    assert found.own == 2
    assert found.slots[-2:].tolist() == [0, 1]
    for slot in range(len(found.rows)):
        people = np.unique(matrix.tocsc()[:, found.slots == slot].indices)
        assert len(people) >= 5
    for place, count in enumerate(found.counts):
        of_slot = found.slots == found.own + place
        assert count == of_slot.sum()
        np.testing.assert_allclose(found.rows[found.own + place], rows[of_slot].mean(axis=0), atol=1e-5)


def test_rare_items_of_too_few_people_get_the_mean_of_all_items() -> None:
    rows = item_rows(4, 8)
    found = shelter(rows, pairs([9, 9, 1, 1], 20), least=5, seed=0)
    assert found.slots.tolist() == [0, 1, 2, 2]
    np.testing.assert_allclose(found.rows[2], rows.mean(axis=0), atol=1e-6)


def test_without_rare_items_every_row_is_its_own() -> None:
    rows = item_rows(3, 8)
    found = shelter(rows, pairs([5, 6, 7], 20), least=5, seed=0)
    assert found.own == 3
    assert not len(found.counts)


def test_degrees_below_the_bound_cannot_be_told_apart() -> None:
    codes = degree_codes(np.array([0, 1, 4, 5, 6]), least=5)
    assert len(set(codes[:4].tolist())) == 1
    assert codes[4] > codes[3]
    many = np.unique(np.geomspace(5, 2**31, 1000).astype(np.int64))
    assert np.all(np.abs(np.log2(degrees_of(degree_codes(many, least=5)) / many)) <= 1 / 16 + 1e-9)


def trial(name: str, size: int, score: float) -> CodingTrial:
    rule = HistoryRule()
    coded = code_items(item_rows(40, 8), Coding("rows", 8), seed=0)
    scores = {rule: score} if score else {}
    return CodingTrial(Coding(name, 8), coded, RuleChoice(rule, scores, 200), size)


def test_the_smallest_coding_that_is_about_as_good_is_taken() -> None:
    chosen = choose_coding(
        [trial("rows", 300, 0.2), trial("folded", 200, 0.1985), trial("product", 100, 0.19)]
    )
    assert chosen.stored_bytes == 200


def test_where_nobody_can_be_asked_the_largest_is_taken() -> None:
    assert choose_coding([trial("rows", 300, 0.0), trial("folded", 200, 0.0)]).stored_bytes == 300


def test_what_fits_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no coding"):
        choose_coding([])


def test_people_held_out_are_served_by_what_is_stored() -> None:
    """Two kinds of items, and everybody wants more of their own kind: any coding serves them."""
    rng = np.random.default_rng(1)
    kind = np.arange(80) % 2
    rows = (np.eye(8)[kind] + 0.05 * rng.normal(size=(80, 8))).astype(np.float32)
    people = [rng.permutation(np.flatnonzero(kind == person % 2))[:10] for person in range(120)]
    histories = Histories.of([items[:6] for items in people])
    wanted = Histories.of([items[6:] for items in people]).matrix(80)
    sheltered = Sheltered(np.arange(80, dtype=np.int32), rows, np.zeros(0, np.int64))
    codes = degree_codes(np.full(80, 15), least=5)
    trials = try_codings(sheltered, codes, codings_for(80, 8), histories, wanted, seed=0)
    chance = 20 / 80
    assert len(trials) >= 3
    assert all(one.score > chance for one in trials)


def told_apart(kinds: int, noise: float, *, seed: int) -> Sheltered:
    """Rows of 80 items that tell the first of 8 kinds apart and know nothing of the others."""
    rng = np.random.default_rng(seed)
    kind = np.minimum(np.arange(80) % 8, kinds - 1)
    rows = (np.eye(8)[kind] + noise * rng.normal(size=(80, 8))).astype(np.float32)
    return Sheltered(np.arange(80, dtype=np.int32), rows, np.zeros(0, np.int64))


def people_of_eight_kinds() -> tuple[Histories, sparse.csr_matrix]:
    rng = np.random.default_rng(2)
    people = [rng.permutation(np.flatnonzero(np.arange(80) % 8 == person % 8)) for person in range(160)]
    return Histories.of([items[:6] for items in people]), Histories.of([i[6:] for i in people]).matrix(80)


def test_the_table_that_serves_best_is_taken_and_a_plainer_one_within_noise() -> None:
    histories, wanted = people_of_eight_kinds()
    codes = degree_codes(np.full(80, 15), least=5)
    blunt, sharp = told_apart(2, 0.1, seed=0), told_apart(8, 0.1, seed=0)
    found = choose_table({"blunt": blunt, "sharp": sharp}, codes, histories, wanted)
    assert (found.name, found.sheltered) == ("sharp", sharp)
    assert found.scores["sharp"] > 2 * found.scores["blunt"]
    alike = choose_table({"first": sharp, "second": told_apart(8, 0.1, seed=1)}, codes, histories, wanted)
    assert alike.name == "first"


def test_one_table_and_few_people_leave_nothing_to_choose() -> None:
    histories, wanted = people_of_eight_kinds()
    codes = degree_codes(np.full(80, 15), least=5)
    blunt, sharp = told_apart(2, 0.1, seed=0), told_apart(8, 0.1, seed=0)
    alone = choose_table({"blunt": blunt}, codes, histories, wanted)
    assert (alone.name, alone.scores) == ("blunt", {})
    few = choose_table({"blunt": blunt, "sharp": sharp}, codes, histories.part(0, 20), wanted[:20])
    assert (few.name, few.scores) == ("blunt", {})
