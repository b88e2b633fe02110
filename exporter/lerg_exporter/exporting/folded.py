"""The stage that folds a propagated model, in place of rewiring its graph."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_edge.folding.dictionary import approximate, learn_dictionary
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.selection import SELECTORS, Selection
from lerg_edge.training.options import Pretrained, TrainingOptions
from lerg_edge.training.pretraining import propagated, validation_cut
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting.budget import Plan
from lerg_exporter.exporting.kinds.selectors import AUTO
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.selecting import choose, selected, selection_settings, validated
from lerg_exporter.exporting.stages import Pruned

__all__ = ["folded"]


def folded(
    train: Interactions,
    model: Pretrained,
    embeddings: np.ndarray,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    plan: Plan,
    work: WorkDir,
) -> Pruned:
    """Select whom to keep, and approximate their propagated rows by a few weighted codes each.

    The codebook is learned from rows propagated without the validation pairs, and so are the twin's rows; the
    model's own are approximated with that codebook from rows propagated over everything.

    Args:
        embeddings: float32 [N, d], propagated over all training interactions.

    Raises:
        InputError: constraints that contradict each other, a selector that cannot be used, or more codes than
            there are retained entities.
        BudgetError: an edge budget that no choice meets.
    """
    matrix = train.matrix()
    settings = {
        **selection_settings(train, options, plan=plan),
        "codes": plan.codes,
        "entries": plan.entries,
        "validation": [training.validation_share, training.validation_users, training.seed],
    }
    key = fingerprint("folded", graph=matrix, codebook=model.codebook, step=model.step, **settings)
    found = work.load("folded", key) if options.selector in (AUTO, *SELECTORS) else None
    if found is not None:
        tensors, numbers = found
        result = FoldedModel.from_stage(tensors, numbers["model"])
        twin_rows = {name.removeprefix("fit_"): tensors[name] for name in tensors if name.startswith("fit_")}
        rows = FoldedRows.from_stage(twin_rows, code_count=result.code_count)
        return Pruned(result, replace(result, rows=rows), numbers["summary"])
    split = validation_cut(matrix, training)
    propagated_fit = propagated(model, split.train)

    def score(selection: Selection, placeholders: Placeholders) -> float:
        """By the rows that folding will approximate."""
        rows, users = propagated_fit.copy(), slice(0, train.user_count)
        items = slice(train.user_count, None)
        for side, table in zip((users, items), placeholders.tables(), strict=True):
            pruned = ~selection.retained[side]
            rows[side][pruned] = table[placeholders.index[side][pruned]]
        return validated(
            rows[users],
            rows[items],
            split,
            pruned=~selection.retained[users],
            by_history=options.pruned_users != "placeholder",
        )

    (selection, placeholders), scores = choose(
        options.selector, partial(selected, train, embeddings, options, plan=plan), score
    )
    retained = selection.retained
    fit = propagated_fit[retained]
    dictionary = learn_dictionary(
        fit, codes=plan.codes, entries=plan.entries, bits=options.bits, seed=options.seed
    )
    rows, fit_rows = (
        approximate(target, dictionary, entries=plan.entries) for target in (embeddings[retained], fit)
    )
    result = FoldedModel(
        train.user_count,
        train.item_count,
        rows,
        dictionary.codebook,
        dictionary.step,
        options.bits,
        model.layers,
        retained,
        placeholders,
    )
    difference = rows.compose(dictionary.quantised()) - embeddings[retained]
    left = float(np.square(difference).sum() / max(np.square(embeddings[retained]).sum(), 1e-30))
    summary = {
        "selection": asdict(selection.report) | ({"validation_ndcg@20": scores} if scores else {}),
        "folding": {"codes": plan.codes, "entries": plan.entries, "squared_error": round(left, 6)},
    }
    tensors, numbers = result.to_stage()
    tensors |= {f"fit_{name}": array for name, array in fit_rows.to_stage().items()}
    work.store("folded", key, tensors=tensors, result={"model": numbers, "summary": summary})
    return Pruned(result, replace(result, rows=fit_rows), summary)
