"""Choosing codebook, retention and batch so that a bundle meets its budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import BudgetError
from lerg_edge.pruning.placeholders import split_count
from lerg_edge.training.options import default_codes
from lerg_exporter.bundles.estimate import DataSizes, bundle_bytes, estimated_plan
from lerg_exporter.exporting.options import ExportOptions
from lerg_runtime import Recommender
from lerg_runtime.bundle import ModelShape
from lerg_runtime.planning import MemoryPlan
from lerg_runtime.sizes import format_size

__all__ = ["Plan", "choose_plan", "default_placeholders", "over_budget", "pretraining_codes"]

DEFAULT_RETENTION = 0.7
DEFAULT_BATCH = 4096
_FEW_ENTITIES = 32
HARD_CANDIDATES = 16
_MOST_PLACEHOLDERS = 500
_SMALLEST_BATCH = 256
# Parts of the wished number of codes and of the wished retention, in the order in which they are given up.
# A smaller batch costs no accuracy and is tried first at every rung, then uniform negatives.
_LADDER = (
    (1.0, 1.0),
    (0.75, 1.0),
    (0.75, 0.85),
    (0.5, 0.85),
    (0.5, 0.7),
    (0.35, 0.55),
    (0.25, 0.4),
    (0.15, 0.25),
    (0.1, 0.15),
)


def over_budget(
    bundle: Path, options: ExportOptions, *, found: str, remedy: str, more_bytes: int = 0
) -> BudgetError | None:
    """What says that a bundle takes more than its budgets allow, by its own plan; None if it does not.

    Args:
        bundle: its folder.
        options: with the budgets.
        found: what is said of the bytes it takes, such as `the bundle came out at`.
        remedy: the setting that makes it smaller.
        more_bytes: that will be stored beside what is there.
    """
    with Recommender.open(bundle) as recommender:
        needed = {
            "memory": recommender.plan().peak_bytes,
            "storage": sum(path.stat().st_size for path in bundle.iterdir()) + more_bytes,
        }
    for name, budget in (("memory", options.memory_budget), ("storage", options.storage_budget)):
        if budget is not None and needed[name] > budget:
            return BudgetError.naming(
                f"the {name} budget is {{}} bytes and {found} {{}}; give {{{name}_budget:{{}}}} or a smaller "
                f"{{{remedy}}}",
                budget,
                needed[name],
                needed[name],
            )
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an export will use where the options left a choice.

    Attributes:
        codebook_rows: rows of the codebook.
        retention: part of the entities that stay.
        placeholders: most rows of the placeholder codebook.
        batch: largest number of triples in a fine-tuning step.
        negative_candidates: items drawn for each negative of fine-tuning, at most.
        memory_bytes: upper bound of what running the bundle takes.
        storage_bytes: upper bound of the bundle.
        entries: codes of a row with folded propagation, else 0.
    """

    codebook_rows: int
    retention: float
    placeholders: int
    batch: int
    negative_candidates: int
    memory_bytes: int
    storage_bytes: int
    entries: int = 0


def choose_plan(options: ExportOptions, data: DataSizes) -> Plan:
    """The first plan that meets the budgets: a smaller batch, then easier negatives, then less of the model.

    What the options state is not touched.

    Raises:
        BudgetError: no plan does; lists each item in bytes and the smallest change that would fit.
    """
    wished = _wished(options, data)
    for plan in _candidates(wished, options, data):
        if _fits(plan, options):
            return plan
    raise _refusal(wished, options, data)


def default_placeholders(pruned: int) -> int:
    """500, and at most one for four pruned entities; at least one a side."""
    return 0 if pruned == 0 else max(2, min(_MOST_PLACEHOLDERS, pruned // 4))


def pretraining_codes(options: ExportOptions, train: Interactions, *, stored: int) -> int:
    """Codes of the model that is pretrained by graph propagation.

    With folded propagation it is not the one that is stored, and more codes make it better at no cost. A full
    table is trained for everybody, and rows of the pruned are left out afterwards.
    """
    entities = train.user_count + train.item_count
    if options.assignment_kind.one_each:
        return entities
    if not options.propagation_kind.entries:
        return stored
    fixed = options.assignment_kind.codebook_rows
    if fixed is not None:
        return min(fixed, entities)
    return max(stored, default_codes(entities, dim=options.dim, bits=options.bits))


def _default_codes(options: ExportOptions, data: DataSizes) -> int:
    codes = default_codes(data.users + data.items, dim=options.dim, bits=options.bits)
    fixed = options.assignment_kind.codebook_rows
    if not options.propagation_kind.entries:
        return codes if fixed is None else min(fixed, data.users + data.items)
    retained = int(_retention(options, data) * (data.users + data.items))
    return max(_entries(options, data), min(round(options.propagation_kind.codes_share * codes), retained))


def _entries(options: ExportOptions, data: DataSizes) -> int:
    """As asked for, else what is usual, or as many as codes can be on data with few entities."""
    if options.entries is not None:
        return options.entries
    most = options.propagation_kind.entries[0]
    stay = int(_retention(options, data) * (data.users + data.items))
    return max(1, min(most, stay, options.codebook_rows or stay))


def _retention(options: ExportOptions, data: DataSizes) -> float:
    """As asked for, else 0.7; of a handful of entities everybody stays, as pruning saves nothing."""
    if options.retention is not None:
        return options.retention
    few = data.users + data.items <= _FEW_ENTITIES and options.edge_budget is None
    return 1.0 if few else DEFAULT_RETENTION


def _least_codes(options: ExportOptions, data: DataSizes) -> int:
    """Fewer could not be: the codes of a sum or a folded row are distinct, those of blocks are not."""
    if options.propagation_kind.entries:
        return _entries(options, data)
    return 1 if options.assignment_kind.block_width else options.resolved_codes_per_entity


def _wished(options: ExportOptions, data: DataSizes) -> Plan:
    codes = _default_codes(options, data) if options.codebook_rows is None else options.codebook_rows
    retention = _retention(options, data)
    batch = DEFAULT_BATCH if options.batch is None else options.batch
    negatives = HARD_CANDIDATES if options.finetune_candidates is None else options.finetune_candidates
    return _sized(codes, retention, batch, negatives, options, data)


def _candidates(wished: Plan, options: ExportOptions, data: DataSizes) -> Iterator[Plan]:
    batches = [wished.batch]
    while options.batch is None and batches[-1] // 2 >= _SMALLEST_BATCH:
        batches.append(batches[-1] // 2)
    negatives = [wished.negative_candidates]
    if options.finetune_candidates is None:
        negatives.append(1)
    usual = options.propagation_kind.entries
    if usual and options.entries is None:
        for entries in usual if wished.entries == usual[0] else (wished.entries,):
            options = replace(options, entries=entries)
            for candidates in negatives:
                for batch in batches:
                    yield _sized(wished.codebook_rows, wished.retention, batch, candidates, options, data)
    tried = set()
    for code_part, retention_part in _LADDER:
        # A codebook of a fixed size is small; fewer codes would save nothing.
        stated = options.codebook_rows is not None or (options.assignment_kind.codebook_rows and not usual)
        codes = wished.codebook_rows if stated else max(1, round(wished.codebook_rows * code_part))
        codes = max(codes, _least_codes(options, data)) if options.codebook_rows is None else codes
        retention = wished.retention
        if options.retention is None:
            retention = round(wished.retention * retention_part, 3)
        if (codes, retention) in tried:
            continue
        tried.add((codes, retention))
        for candidates in negatives:
            for batch in batches:
                yield _sized(codes, retention, batch, candidates, options, data)


def _fits(plan: Plan, options: ExportOptions) -> bool:
    return (options.memory_budget is None or plan.memory_bytes <= options.memory_budget) and (
        options.storage_budget is None or plan.storage_bytes <= options.storage_budget
    )


def _sized(
    codebook_rows: int, retention: float, batch: int, candidates: int, options: ExportOptions, data: DataSizes
) -> Plan:
    shape = _shape(codebook_rows, retention, batch, options, data)
    return Plan(
        shape.codebook_rows,
        retention,
        shape.user_placeholders + shape.item_placeholders,
        batch,
        candidates,
        _estimated_plan(shape, data, candidates, options).peak_bytes,
        sum(_stored(shape, data, options).values()),
        shape.entries,
    )


def _estimated_plan(
    shape: ModelShape, data: DataSizes, candidates: int, options: ExportOptions
) -> MemoryPlan:
    return estimated_plan(
        shape,
        data,
        negative_candidates=candidates,
        lowering=options.lowering,
        propagation=options.propagation,
    )


def _stored(shape: ModelShape, data: DataSizes, options: ExportOptions) -> Mapping[str, int]:
    return bundle_bytes(shape, data, lowering=options.lowering, propagation=options.propagation)


def _shape(
    codebook_rows: int, retention: float, batch: int, options: ExportOptions, data: DataSizes
) -> ModelShape:
    """Sizes of the model to be expected; how many of a side stay is known only after the selection."""
    folded = bool(options.propagation_kind.entries)
    kind = options.assignment_kind
    entities = data.users + data.items
    retained = max(2, round(retention * entities))
    users = min(max(1, round(retained * data.users / entities)), data.users)
    items = min(max(1, retained - users), data.items)
    pruned = (data.users - users, data.items - items)
    wanted = default_placeholders(sum(pruned)) if options.placeholders is None else options.placeholders
    wanted = max(wanted, sum(count > 0 for count in pruned))
    user_placeholders, item_placeholders = split_count(wanted, *pruned)
    return ModelShape(
        users=data.users,
        items=data.items,
        dim=options.dim,
        bits=options.bits,
        codebook_rows=retained if options.is_full_table else codebook_rows,
        codes_per_entity=0 if folded else options.resolved_codes_per_entity,
        anchor_weight=0.0 if folded or "anchor_weight" not in kind.reads else options.anchor_weight,
        layers=options.resolved_layers,
        retained_users=users,
        retained_items=items,
        # Which side keeps more is not known yet; both as large as they can be bounds the edges.
        edges=0
        if folded or not options.resolved_layers
        else data.most_edges(min(retained, data.users), min(retained, data.items)),
        user_placeholders=user_placeholders,
        item_placeholders=item_placeholders,
        step_count=1 if options.step_sizes == "one" else retained if options.is_full_table else codebook_rows,
        max_batch=batch,
        max_users=options.resolved_max_users,
        max_k=min(options.max_k, data.items),
        l2=0.0,
        item_table=options.item_table,
        layer_storage=options.layer_storage,
        entries=_entries(options, data) if folded else 0,
        composition="blocks" if kind.block_width and not folded else "sum",
    )


def _refusal(wished: Plan, options: ExportOptions, data: DataSizes) -> BudgetError:
    shape = _shape(wished.codebook_rows, wished.retention, wished.batch, options, data)
    if options.memory_budget is not None and wished.memory_bytes > options.memory_budget:
        plan = _estimated_plan(shape, data, wished.negative_candidates, options)
        phase = max(plan.phases, key=lambda phase: phase.total_bytes)
        name, budget, needed = "memory", options.memory_budget, wished.memory_bytes
        items = ", ".join(f"{item.name} {item.size_bytes}" for item in phase.items)
        what = f"the phase {phase.name} of such a bundle"
    else:
        name, budget, needed = "storage", options.storage_budget or 0, wished.storage_bytes
        stored = _stored(shape, data, options)
        items = ", ".join(f"{name} {size}" for name, size in stored.items())
        what = "such a bundle"
    free = replace(options, codebook_rows=None, retention=None, batch=None, finetune_candidates=None)
    relaxed = list(_candidates(_wished(free, data), free, data))
    fitting = next((plan for plan in relaxed if _fits(plan, options)), None)
    if fitting is not None:
        rows = "" if options.is_full_table else f"{{codebook_rows:{fitting.codebook_rows}}} "
        remedy = (
            f"{rows}{{retention:{fitting.retention:g}}} {{batch:{fitting.batch}}} "
            f"{{finetune_candidates:{fitting.negative_candidates}}} would fit"
        )
    else:
        least = min(plan.memory_bytes if name == "memory" else plan.storage_bytes for plan in relaxed)
        remedy = f"give {{{name}_budget}} at least {least} bytes ({format_size(least)}), or a smaller {{dim}}"
    return BudgetError.naming(
        f"the {name} budget is {budget} bytes and {what} needs {needed}: {items}; {remedy}"
    )
