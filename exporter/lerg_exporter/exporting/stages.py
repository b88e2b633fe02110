"""The stages that make a model, each taken from the work folder when it is still valid.

What a stage's result depends on is its fingerprint.  Another retention leaves the pretrained model as it is;
another bit width keeps the assignment only if `codes` is stated too, and trains the quantised codebook anew.
A selector that is not built in is never taken from the folder: its code is not part of the fingerprint.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from lerg_edge.assigning.product import teacher_options
from lerg_edge.codes.assignment import Assignment, LearnedAssignment, identity_assignment
from lerg_edge.codes.quantiser import FLOAT_BITS
from lerg_edge.data.interactions import Interactions
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_edge.pruning.rewiring import RewiredGraph, induced, rewire
from lerg_edge.selection import SELECTORS, Selection
from lerg_edge.training.contrast import Contrast
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions
from lerg_edge.training.pretraining import validation_cut, without_pruned
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting.budget import Plan
from lerg_exporter.exporting.kinds.assignments import ASSIGNMENTS
from lerg_exporter.exporting.kinds.recommenders import FULL_TABLE
from lerg_exporter.exporting.kinds.selectors import AUTO
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress, Silent
from lerg_exporter.exporting.selecting import choose, selected, selection_settings, validated

__all__ = [
    "Pruned",
    "assigned",
    "pretrained",
    "rewired",
    "stopped_after",
    "teacher_epochs",
    "training_options",
]


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """A model of the retained entities, and the same one as seen without the validation pairs.

    Attributes:
        model: over all training interactions.
        twin: over those that validation leaves; its weights and its selection are the model's.
        summary: how the selection and what followed came out, for people.
    """

    model: RewiredModel | FoldedModel
    twin: RewiredModel | FoldedModel
    summary: dict[str, Any]


def training_options(options: ExportOptions, *, pairs: int) -> TrainingOptions:
    """The trainer's settings; what the options leave open suits the assignment, or is the trainer's own.

    Args:
        pairs: training interactions, which a full table's settings depend on.
    """
    post_training = options.quantisation == "post-training"
    kind = ASSIGNMENTS[options.assignment]
    chosen: dict[str, Any] = {
        # With a full table to learn from, what is stated is for that; its codebook is trained for fewer.
        "epochs": None if kind.training else options.epochs,
        "batch": options.pretrain_batch,
        "learning_rate": options.learning_rate,
        "l2": options.l2,
    }
    training = TrainingOptions(
        dim=options.dim,
        bits=FLOAT_BITS if post_training else options.bits,
        layers=options.depth,
        contrast=Contrast() if options.recommender == "xsimgcl" else None,
        per_row_steps=options.steps == "row" and not post_training,
        seed=options.seed,
        device=options.device,  # type: ignore[arg-type]
        **(FULL_TABLE.get(options.recommender, {}) if kind.one_each else {}),
    )
    if kind.training:
        if options.epochs is not None:
            training = replace(training, epochs=options.epochs)
        training = kind.function("training")(training, pairs=pairs)
    if kind.one_each and options.recommender == "lightgcn":
        bits, steps = training.bits, training.per_row_steps
        training = replace(teacher_options(training, pairs=pairs), bits=bits, per_row_steps=steps)
    return replace(training, **{name: value for name, value in chosen.items() if value is not None})


def assigned(
    train: Interactions,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    codes: int,
    teacher_epochs: int | None = None,
    work: WorkDir,
    progress: Progress,
) -> LearnedAssignment:
    """Which codes make up which entity, and where that says it the codebook to start from.

    Args:
        codes: rows of the codebook.
        teacher_epochs: after which the full table's training ends, if codes are learned from one; None leaves
            that to validation.
    """
    kind = ASSIGNMENTS[options.assignment]
    given = {
        "per_entity": options.codes_an_entity,
        "anchor_weight": options.anchor_weight,
        "auxiliaries": options.auxiliaries,
    }
    settings: dict[str, Any] = {"codes": codes, **{name: given[name] for name in kind.reads}}
    if kind.teacher:
        full = _teacher(train, options, training, epochs=teacher_epochs, work=work, progress=progress)
        settings["teacher"] = full.codebook
    key = fingerprint(
        "assignment",
        made_by=kind.assign,
        graph=train.matrix(),
        seed=training.seed,
        layers=training.layers if kind.teacher else None,
        validation=[training.validation_share, training.validation_users],
        **settings,
    )
    found = work.load("assignment", key)
    if found is not None:
        return LearnedAssignment(Assignment.from_stage(*found), found[0].get("codebook"))
    made = kind.function("assign")(train, training, **settings)
    learned: LearnedAssignment = LearnedAssignment(made) if isinstance(made, Assignment) else made
    tensors, numbers = learned.assignment.to_stage()
    if learned.codebook is not None:
        tensors["codebook"] = learned.codebook
    work.store("assignment", key, tensors=tensors, result=numbers)
    return learned


def _teacher(
    train: Interactions,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    epochs: int | None,
    work: WorkDir,
    progress: Progress,
) -> Pretrained:
    """A full table, whose layer-0 rows float32 [N, d] an assignment is learned from."""
    progress.note("training the full table that codes are learned from")
    settings = teacher_options(training, pairs=train.pair_count, epochs=options.epochs)
    if epochs is not None:
        settings = stopped_after(settings, epochs)
    table = identity_assignment(train.user_count + train.item_count)
    return pretrained(train, LearnedAssignment(table), settings, kind="metis", work=work, progress=progress)


def teacher_epochs(
    train: Interactions, options: ExportOptions, training: TrainingOptions, *, work: WorkDir
) -> int:
    """The epoch of the full table that validation chose; the table is in the work folder by now."""
    return _teacher(train, options, training, epochs=None, work=work, progress=Silent()).best_epoch


def stopped_after(training: TrainingOptions, epochs: int) -> TrainingOptions:
    """The same training, ended after so many epochs; 0 for a codebook that no epoch is trained for."""
    if not epochs:
        return training
    if training.schedule == "constant":
        return replace(training, epochs=epochs)
    return replace(training, stop_after=epochs)


def pretrained(
    train: Interactions,
    learned: LearnedAssignment,
    training: TrainingOptions,
    *,
    kind: str,
    work: WorkDir,
    progress: Progress,
) -> Pretrained:
    """The codebook trained on the full graph; an interrupted run goes on after its last whole epoch.

    Args:
        kind: of the assignment; training may change it.
    """
    place = ASSIGNMENTS[kind].pretrain
    start = {} if learned.codebook is None else {"start": learned.codebook}
    key = fingerprint(
        "pretrained",
        graph=train.matrix(),
        assignment=learned.assignment,
        options=training,
        trained_by=place,
        **start,
    )
    found = work.load("pretrained", key)
    if found is not None:
        progress.note("pretraining is taken from the work folder")
        return _pretrained_of(training, *found)
    checkpoint = work.checkpoint("pretrained", key)

    def on_epoch(report: EpochReport) -> None:
        score = "" if report.ndcg is None else f", validation NDCG@20 {report.ndcg:.4f}"
        progress.advance(report.epoch, training.epochs, f"loss {report.loss:.4f}{score}")

    pretrain = ASSIGNMENTS[kind].function("pretrain")
    result: Pretrained = pretrain(
        train, learned.assignment, training, checkpoint=checkpoint, on_epoch=on_epoch, **start
    )
    tensors, numbers = result.assignment.to_stage()
    work.store(
        "pretrained",
        key,
        tensors={"codebook": result.codebook, "step": result.step, **tensors},
        result={
            **numbers,
            "best_epoch": result.best_epoch,
            "history": [{**asdict(report), "seconds": 0.0} for report in result.history],
        },
    )
    for leftover in checkpoint.parent.glob(f"{checkpoint.name}*"):
        leftover.unlink()
    return result


def rewired(
    train: Interactions,
    model: Pretrained,
    embeddings: np.ndarray,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    plan: Plan,
    work: WorkDir,
) -> Pruned:
    """Select whom to keep, re-route the graph around the others and give these placeholders.

    Args:
        embeddings: float32 [N, d], propagated over all training interactions.

    Raises:
        InputError: constraints that contradict each other, or a selector that cannot be used.
        BudgetError: an edge budget that no choice meets.
    """
    matrix = train.matrix()
    settings = {**selection_settings(train, options, plan=plan), "rewiring": options.rewiring}
    key = fingerprint(
        "rewired",
        graph=matrix,
        assignment=model.assignment,
        codebook=model.codebook,
        step=model.step,
        layers=model.layers,
        **settings,
    )
    found = work.load("rewired", key) if options.selector in (AUTO, *SELECTORS) else None
    if found is not None:
        tensors, numbers = found
        result = RewiredModel.from_stage(tensors, numbers["model"])
        data = np.ones(len(tensors["fit_indices"]), np.float32)
        graph = sparse.csr_matrix(
            (data, tensors["fit_indices"], tensors["fit_indptr"]), shape=result.graph.shape
        )
        return Pruned(result, replace(result, graph=graph), numbers["summary"])
    split = validation_cut(matrix, training)

    def graph_of(pairs: sparse.csr_matrix, selection: Selection) -> RewiredGraph:
        # Where nothing is propagated no program reads an edge, and none is stored.
        edges = pairs if model.layers else sparse.csr_matrix(matrix.shape, dtype=np.float32)
        return _retained_graph(edges, selection, embeddings, options)

    def model_of(graph: RewiredGraph, selection: Selection, placeholders: Placeholders) -> RewiredModel:
        stored = without_pruned(model, selection.retained) if options.is_full_table else model
        return RewiredModel(
            train.user_count,
            train.item_count,
            stored.assignment.codes,
            stored.assignment.anchor_weight,
            stored.assignment.code_count,
            stored.codebook,
            stored.step.reshape(-1),
            model.bits,
            model.layers,
            selection.retained,
            graph.matrix,
            placeholders,
            model.assignment.composition,
        )

    def score(selection: Selection, placeholders: Placeholders) -> float:
        twin = model_of(graph_of(split.train, selection), selection, placeholders)
        return validated(
            *twin.entity_rows(),
            split,
            pruned=~selection.retained[: train.user_count],
            by_history=options.pruned_users != "placeholder",
        )

    (selection, placeholders), scores = choose(
        options.selector, partial(selected, train, embeddings, options, plan=plan), score
    )
    graph, fit = graph_of(matrix, selection), graph_of(split.train, selection)
    result = model_of(graph, selection, placeholders)
    summary = {
        "selection": asdict(selection.report) | ({"validation_ndcg@20": scores} if scores else {}),
        "rewiring": {
            "removed": int(graph.removed),
            "added": int(graph.added),
            "isolated": sum(int((graph.matrix.sum(axis=side) == 0).sum()) for side in (0, 1)),
        },
    }
    tensors, numbers = result.to_stage()
    tensors |= {"fit_indptr": fit.matrix.indptr, "fit_indices": fit.matrix.indices}
    work.store("rewired", key, tensors=tensors, result={"model": numbers, "summary": summary})
    return Pruned(result, replace(result, graph=fit.matrix), summary)


def _retained_graph(
    matrix: sparse.csr_matrix, selection: Selection, embeddings: np.ndarray, options: ExportOptions
) -> RewiredGraph:
    if options.rewiring == "none":
        return induced(matrix, selection.retained)
    return rewire(matrix, selection.retained, embeddings)


def _pretrained_of(
    training: TrainingOptions, tensors: dict[str, np.ndarray], result: dict[str, Any]
) -> Pretrained:
    return Pretrained(
        assignment=Assignment.from_stage(tensors, result),
        codebook=tensors["codebook"],
        step=tensors["step"],
        bits=training.bits,
        layers=training.layers,
        history=tuple(EpochReport(**report) for report in result["history"]),
        best_epoch=result["best_epoch"],
    )
