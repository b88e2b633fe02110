"""Meeting budgets: what is given up first, what never is, and what a refusal says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lerg_edge.data.synthetic import generate
from lerg_edge.errors import BudgetError
from lerg_exporter.bundles.estimate import DataSizes
from lerg_exporter.exporting.budget import DEFAULT_BATCH, DEFAULT_RETENTION, choose_plan, default_placeholders
from lerg_exporter.exporting.options import ExportOptions

METIS = ExportOptions(assignment="metis")


@pytest.fixture(scope="module")
def data() -> DataSizes:
    return DataSizes.of(generate(3000, 2000, 40_000, communities=8, seed=1))


def test_without_budgets_the_defaults_stand(data: DataSizes) -> None:
    plan = choose_plan(METIS, data)
    assert (plan.retention, plan.batch) == (DEFAULT_RETENTION, DEFAULT_BATCH)
    assert plan.placeholders == default_placeholders(1500)


def test_a_smaller_batch_is_given_up_first(data: DataSizes) -> None:
    free = choose_plan(METIS, data)
    plan = choose_plan(replace(METIS, memory_budget=free.memory_bytes - 1), data)
    assert plan.batch == DEFAULT_BATCH // 2
    assert (plan.codebook_rows, plan.retention) == (free.codebook_rows, free.retention)


@pytest.mark.parametrize("part", [0.8, 0.5, 0.3])
def test_every_choice_fits(data: DataSizes, part: float) -> None:
    free = choose_plan(METIS, data)
    budget = int(free.memory_bytes * part)
    plan = choose_plan(replace(METIS, memory_budget=budget), data)
    assert plan.memory_bytes <= budget
    storage = int(free.storage_bytes * 0.9)
    assert choose_plan(replace(METIS, storage_budget=storage), data).storage_bytes <= storage


def test_what_is_stated_stays(data: DataSizes) -> None:
    free = choose_plan(METIS, data)
    plan = choose_plan(replace(METIS, retention=0.7, memory_budget=free.memory_bytes // 3), data)
    assert plan.retention == 0.7
    assert plan.codebook_rows < free.codebook_rows
    pinned = replace(
        METIS,
        codebook_rows=free.codebook_rows,
        retention=0.7,
        batch=4096,
        memory_budget=free.memory_bytes // 2,
    )
    with pytest.raises(BudgetError) as refused:
        choose_plan(pinned, data)
    assert re.search(
        r"codebook_rows=\d+ retention=[0-9.]+ batch=\d+ finetune_candidates=\d+ would fit", str(refused.value)
    )


def test_the_change_that_a_refusal_names_fits(data: DataSizes) -> None:
    free = choose_plan(METIS, data)
    budget = free.memory_bytes // 2
    with pytest.raises(BudgetError) as refused:
        choose_plan(
            replace(METIS, codebook_rows=free.codebook_rows, retention=0.7, batch=4096, memory_budget=budget),
            data,
        )
    named = re.search(r"codebook_rows=(\d+) retention=([0-9.]+) batch=(\d+)", str(refused.value))
    assert named is not None
    codes, retention, batch = int(named[1]), float(named[2]), int(named[3])
    options = replace(METIS, codebook_rows=codes, retention=retention, batch=batch, memory_budget=budget)
    assert choose_plan(options, data).memory_bytes <= budget


@pytest.mark.parametrize(("name", "item"), [("memory", "latent codebook"), ("storage", "interactions")])
def test_an_impossible_budget_lists_items_and_the_least_that_fits(
    data: DataSizes, name: str, item: str
) -> None:
    with pytest.raises(BudgetError) as refused:
        choose_plan(replace(METIS, **{f"{name}_budget": 1000}), data)  # type: ignore[arg-type]
    message = str(refused.value)
    assert f"the {name} budget is 1000 bytes" in message
    assert re.search(rf"{item} \d+", message)
    least = re.search(rf"{name}_budget at least (\d+) bytes", message)
    assert least is not None
    fits = choose_plan(replace(METIS, **{f"{name}_budget": int(least[1])}), data)  # type: ignore[arg-type]
    assert getattr(fits, f"{name}_bytes") <= int(least[1])


def test_folded_rows_give_up_entries_before_entities(data: DataSizes) -> None:
    free = choose_plan(replace(METIS, propagation="folded"), data)
    assert (free.entries, free.retention) == (8, DEFAULT_RETENTION)
    plan = choose_plan(replace(METIS, propagation="folded", storage_budget=free.storage_bytes - 1), data)
    assert (plan.entries, plan.codebook_rows, plan.retention) == (6, free.codebook_rows, free.retention)
    stated = replace(METIS, propagation="folded", entries=8, storage_budget=free.storage_bytes - 1)
    assert choose_plan(stated, data).entries == 8
    for part in (0.9, 0.8, 0.7):
        budget = int(free.storage_bytes * part)
        plan = choose_plan(replace(METIS, propagation="folded", storage_budget=budget), data)
        assert plan.storage_bytes <= budget
        assert plan.codebook_rows >= plan.entries >= 4


def test_folded_memory_does_not_depend_on_the_graph(data: DataSizes) -> None:
    larger = DataSizes.of(generate(3000, 2000, 120_000, communities=8, seed=1))
    plans = [
        choose_plan(replace(METIS, propagation="folded", codebook_rows=500), sizes)
        for sizes in (data, larger)
    ]
    graphs = [choose_plan(replace(METIS, codebook_rows=500), sizes) for sizes in (data, larger)]
    # Interactions themselves take room, in either form.
    assert plans[1].memory_bytes - plans[0].memory_bytes < graphs[1].memory_bytes - graphs[0].memory_bytes
    assert plans[0].memory_bytes < graphs[0].memory_bytes


def test_product_codes_keep_their_codebook_and_give_up_entities(data: DataSizes) -> None:
    free = choose_plan(ExportOptions(), data)
    assert free.codebook_rows == 256
    plan = choose_plan(ExportOptions(storage_budget=int(0.88 * free.storage_bytes)), data)
    assert plan.codebook_rows == 256
    assert plan.retention < free.retention
    assert plan.storage_bytes <= 0.88 * free.storage_bytes
