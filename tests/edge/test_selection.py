"""Selection against brute force, and every selector against one contract."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lerg_edge.errors import BudgetError, InputError
from lerg_edge.selection import (
    SELECTORS,
    BipSelector,
    Constraints,
    Rules,
    SelectionProblem,
    along_messages,
    find_selector,
    global_similarity,
    pagerank,
    select,
    select_by_score,
)
from lerg_edge.selection import repair as repair_module


def random_problem(seed: int, *, users: int = 60, items: int = 40, retention: float = 0.5, **limits: Any):
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_matrix((rng.random((users, items)) < 0.1).astype(np.float32))
    embeddings = rng.normal(size=(users + items, 8)).astype(np.float32)
    return SelectionProblem.at_retention(
        matrix, embeddings, retention=retention, constraints=Constraints(**limits), seed=seed
    )


@st.composite
def small_instances(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    """Values and the arguments of ``Rules.resolve``, at most nine entities, not always feasible."""
    users, items = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    total = users + items
    whole = st.integers(-6, 6).map(float)
    values = np.array(draw(st.lists(whole | st.floats(-5, 5), min_size=total, max_size=total)))
    degrees = np.array(draw(st.lists(st.integers(0, 7), min_size=total, max_size=total)), np.int64)
    required = np.array(draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=total, max_size=total)), bool)
    floor_u = draw(st.none() | st.integers(0, users))
    floor_i = draw(st.none() | st.integers(0, items))
    ceiling = draw(st.none() | st.integers(0, int(degrees.sum())))
    return values, {
        "degrees": degrees,
        "user_count": users,
        "required": required,
        "retain": draw(st.integers(2, total)),
        "floors": (floor_u, floor_i),
        "default_floors": (1, 1),
        "edge_budget": ceiling,
    }


def feasible_sets(rules: dict[str, Any]) -> list[np.ndarray]:
    """Every choice that the stated constraints allow; open floors are left open."""
    total, users = len(rules["degrees"]), rules["user_count"]
    found = []
    for members in combinations(range(total), rules["retain"]):
        chosen = np.zeros(total, bool)
        chosen[list(members)] = True
        floors = [floor or 0 for floor in rules["floors"]]
        if (
            (chosen | ~rules["required"]).all()
            and chosen[:users].sum() >= floors[0]
            and chosen[users:].sum() >= floors[1]
            and (rules["edge_budget"] is None or rules["degrees"][chosen].sum() <= rules["edge_budget"])
        ):
            found.append(chosen)
    return found


@given(small_instances(), st.integers(0, 2**9 - 1), st.sampled_from([1, 256]))
def test_repair_never_breaks_a_rule(instance, start_bits, window) -> None:
    values, arguments = instance
    try:
        rules = Rules.resolve(**arguments)
    except (InputError, BudgetError):
        # Open floors take defaults, which may be what cannot hold; stated ones must be to blame themselves.
        assert None in arguments["floors"] or not feasible_sets(arguments)
        return
    start = np.array([start_bits >> position & 1 for position in range(len(values))], bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair_module, "_WINDOW", window)
        repaired = repair_module.repair(start, values, rules)
        priced = repair_module.priced_choice(values, rules)
    assert rules.broken_by(repaired) is None
    assert rules.broken_by(priced.chosen) is None
    assert any(np.array_equal(repaired, choice) for choice in feasible_sets(arguments))


def bip_problem(values: np.ndarray, arguments: dict[str, Any]) -> SelectionProblem:
    """A problem whose degrees are those of the instance: each entity's edges lead to entities of its own."""
    rng = np.random.default_rng(0)
    users, items = arguments["user_count"], len(values) - arguments["user_count"]
    matrix = sparse.csr_matrix((rng.random((users, items)) < 0.5).astype(np.float32))
    required = arguments["required"]
    limits = Constraints(
        min_users=arguments["floors"][0] or 0,
        min_items=arguments["floors"][1] or 0,
        keep_users=np.flatnonzero(required[:users]),
        keep_items=np.flatnonzero(required[users:]),
        edge_budget=arguments["edge_budget"],
    )
    return SelectionProblem(matrix, np.zeros((len(values), 2), np.float32), arguments["retain"], limits, 0)


@given(small_instances())
def test_bip_is_bounded_by_its_relaxation_and_meets_brute_force(instance) -> None:
    values, arguments = instance
    problem = bip_problem(values, arguments)
    arguments = arguments | {
        "degrees": np.concatenate([problem.matrix.sum(axis=1).A1, problem.matrix.sum(axis=0).A1]).astype(int),
        "floors": (problem.constraints.min_users, problem.constraints.min_items),
    }
    choices = feasible_sets(arguments)
    if not choices:
        with pytest.raises((InputError, BudgetError)):
            BipSelector().select(problem, values)
        return
    best = max(values[choice].sum() for choice in choices)
    rounded = BipSelector().select(problem, values)
    exact = BipSelector(exact=True).select(problem, values)
    tolerance = 1e-6 * (1 + abs(best))
    assert rounded.report.relaxation_value >= best - tolerance
    assert rounded.report.value <= best + tolerance
    assert exact.report.value == pytest.approx(best, abs=tolerance)
    assert any(np.array_equal(rounded.retained, choice) for choice in choices)
    if arguments["edge_budget"] is None:
        assert rounded.report.value == pytest.approx(best, abs=tolerance)
        assert rounded.report.gap == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("boundary", [0.1, 0.5, 0.9, 1.0])
def test_the_gap_closes_on_a_larger_instance_with_every_constraint(boundary: float) -> None:
    problem = random_problem(
        3, users=400, items=300, min_users=220, keep_users=np.array([3, 5]), keep_items=np.array([299]),
        edge_budget=11_500,
    )  # fmt: skip
    report = select(problem, selector=BipSelector(boundary=boundary)).report
    assert report.degree_sum <= 11_500
    assert report.retained_users >= 220
    assert 0.0 <= report.gap < 1e-3
    assert report.fractional <= 4


def test_repair_falls_back_when_exchanges_are_too_many() -> None:
    problem = random_problem(5, users=3_000, items=2_000, edge_budget=None)
    degrees = problem.rules().degrees
    tight = int(np.sort(degrees)[:2_500].sum() * 1.02)
    rules = Rules.resolve(
        degrees=degrees, user_count=3_000, required=np.zeros(5_000, bool), retain=2_500, floors=(0, 0),
        default_floors=(0, 0), edge_budget=tight,
    )  # fmt: skip
    values = degrees + np.random.default_rng(0).random(5_000)
    heaviest = np.zeros(5_000, bool)
    heaviest[np.argsort(-degrees)[:2_500]] = True
    repaired = repair_module.repair(heaviest, values, rules)
    assert rules.broken_by(repaired) is None
    assert rules.degree_sum(repaired) >= tight - 3, "the slack is used"


def test_a_ceiling_where_scores_are_degrees_is_filled_and_not_undershot() -> None:
    free = random_problem(7)
    degrees = free.rules().degrees
    ceiling = int(0.8 * np.sort(degrees)[-free.retain :].sum())
    report = select(random_problem(7, edge_budget=ceiling), selector="degree").report
    assert ceiling - 2 <= report.degree_sum <= ceiling


@pytest.mark.parametrize("seed", range(3))
def test_contributions_equal_their_definition(seed: int) -> None:
    problem = random_problem(seed, users=9, items=7)
    rows = problem.embeddings.astype(np.float64)
    rows[4] = 0.0
    adjacency = np.zeros((16, 16))
    adjacency[:9, 9:] = problem.matrix.toarray()
    adjacency += adjacency.T
    degree = adjacency.sum(axis=1)
    by_messages, by_all = np.zeros(16), np.zeros(16)
    for j in range(16):
        for i in range(16):
            length = np.linalg.norm(rows[i]) * np.linalg.norm(rows[j])
            cosine = rows[i] @ rows[j] / length if length else 0.0
            if i != j:
                by_all[j] += cosine
            if adjacency[i, j]:
                by_messages[j] += cosine / np.sqrt(degree[i] * degree[j])
    embeddings = rows.astype(np.float32)
    np.testing.assert_allclose(along_messages(problem.matrix, embeddings), by_messages, atol=1e-5)
    np.testing.assert_allclose(global_similarity(embeddings), by_all, atol=1e-5)


def test_pagerank_solves_its_equation() -> None:
    problem = random_problem(1, users=12, items=9)
    dense = np.zeros((21, 21))
    dense[:12, 12:] = problem.matrix.toarray()
    dense += dense.T
    degree = dense.sum(axis=1, keepdims=True)
    walk = np.where(degree > 0, dense / np.maximum(degree, 1), 1 / 21)
    expected = np.linalg.solve(np.eye(21) - 0.85 * walk.T, np.full(21, 0.15 / 21))
    np.testing.assert_allclose(pagerank(problem.matrix), expected, rtol=1e-8)
    with pytest.raises(InputError, match="damping is 1"):
        pagerank(problem.matrix, damping=1.0)


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize(
    "limits",
    [{}, {"min_users": 45, "edge_budget": 390}, {"keep_items": np.arange(25), "min_items": 0}],
    ids=["defaults", "floor and ceiling", "must keep"],
)
def test_every_selector_keeps_the_contract(name: str, limits: dict[str, Any]) -> None:
    problem = random_problem(11, **limits)
    first, second = select(problem, selector=name), select(problem, selector=name)
    assert problem.rules().broken_by(first.retained) is None
    assert first.retained.sum() == problem.retain == 50
    np.testing.assert_array_equal(first.retained, second.retained)
    assert first.report == second.report
    assert first.report.retained_users == first.retained[:60].sum()


def test_the_objective_beats_other_choices_on_its_own_terms() -> None:
    problem = random_problem(2)
    contributions = along_messages(problem.matrix, problem.embeddings)
    best = contributions[select(problem).retained].sum()
    for name in ("random", "degree", "pagerank", "norm", "bip-global"):
        assert contributions[select(problem, selector=name).retained].sum() <= best + 1e-9


def test_default_floors_keep_half_the_ratio_on_each_side() -> None:
    rules = random_problem(0, users=60, items=40, retention=0.5).rules()
    assert rules.floors == (15, 10)
    # Entities that must stay leave no room for the default of the other side, which gives way.
    assert random_problem(0, retention=0.3, keep_users=np.arange(29)).rules().floors == (29, 1)


@pytest.mark.parametrize(
    ("limits", "error", "words"),
    [
        ({"min_users": 61}, InputError, "min_users is 61"),
        ({"min_items": -1}, InputError, "min_items is -1"),
        ({"min_users": 40, "min_items": 20}, InputError, "only 50 entities are retained"),
        ({"keep_users": np.arange(51)}, InputError, "keep_users"),
        ({"keep_items": np.array([40])}, InputError, "keep_items holds 40"),
        ({"edge_budget": 3}, BudgetError, "edge_budget is 3"),
    ],
)
def test_constraints_that_cannot_hold_say_which(limits, error, words) -> None:
    problem = random_problem(0, **limits)
    for name in ("bip", "degree"):
        with pytest.raises(error, match=words):
            select(problem, selector=name)


def test_bad_numbers_are_refused() -> None:
    problem = random_problem(0)
    for retention in (0.0, 1.1, -1.0):
        with pytest.raises(InputError, match="retention"):
            SelectionProblem.at_retention(problem.matrix, problem.embeddings, retention=retention)
    with pytest.raises(InputError, match="rows"):
        SelectionProblem.at_retention(problem.matrix, problem.embeddings[1:], retention=0.5)
    with pytest.raises(InputError, match="entity 4"):
        select_by_score(problem, np.where(np.arange(100) == 4, np.nan, 0.0), method="mine")
    with pytest.raises(InputError, match="shape"):
        select_by_score(problem, np.zeros(3), method="mine")
    for options in ({"similarity": "none"}, {"boundary": 0.0}, {"boundary": 1.5}, {"time_limit_s": 0.0}):
        with pytest.raises(InputError):
            BipSelector(**options)


OWN_SELECTOR = """
import numpy as np
from lerg_edge.selection import select_by_score

def last_first(problem):
    return select_by_score(problem, np.arange(problem.entity_count), method="last first")

def too_many(problem):
    from dataclasses import replace
    return replace(last_first(problem), retained=np.ones(problem.entity_count, bool))
"""


def test_a_selector_of_ones_own_is_one_function_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_SELECTOR)
    problem = random_problem(0, min_users=0, min_items=0)
    assert select(problem, selector=f"{file}:last_first").retained[50:].all()
    with pytest.raises(InputError, match="retains 100 entities and not 50"):
        select(problem, selector=f"{file}:too_many")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "choose one of bip"),
        ("no_such_module:f", "importing 'no_such_module' failed"),
        ("none.py:f", "no file 'none.py'"),
        ("math:no_such", "'math' defines no 'no_such'"),
        ("math:pi", "it is a float, no function"),
    ],
)
def test_a_selector_that_is_not_there_is_named(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_selector(name)


def test_a_boundary_reaches_the_selectors_that_round() -> None:
    assert find_selector("bip", boundary=0.2) == BipSelector(boundary=0.2)
    assert find_selector("bip-global", boundary=0.9) == BipSelector(similarity="global", boundary=0.9)
    assert find_selector("degree", boundary=0.2) is find_selector("degree")
    with pytest.raises(InputError, match="boundary is 0"):
        find_selector("bip", boundary=0.0)


def test_the_boundary_moves_what_is_rounded_and_no_rule() -> None:
    """A ceiling leaves a fraction in the relaxation; the boundary says which way it goes."""
    problem = random_problem(11, edge_budget=200)
    reports = [select(problem, selector=BipSelector(boundary=boundary)).report for boundary in (0.01, 1.0)]
    assert reports[0].fractional == reports[1].fractional > 0
    assert reports[0].rounded_count == reports[1].rounded_count + reports[0].fractional
    assert all(report.degree_sum <= 200 for report in reports)


def test_hidden_solver_output(capfd: pytest.CaptureFixture[str]) -> None:
    chosen: Callable[..., Any] = BipSelector(exact=True)
    chosen(random_problem(0, edge_budget=400))
    assert capfd.readouterr() == ("", "")
