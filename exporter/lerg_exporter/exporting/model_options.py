"""What an export is asked for: the model that is trained, and who stays in it. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.codes.widths import WIDTHS
from lerg_exporter.exporting.kinds.assignments import ASSIGNMENTS, AUXILIARIES, assignment_kind
from lerg_exporter.exporting.kinds.recommenders import RECOMMENDERS, recommender_kind
from lerg_exporter.exporting.kinds.selectors import AUTO
from lerg_exporter.exporting.settings import setting

__all__ = ["USUAL_RECOMMENDER", "ModelOptions"]

USUAL_RECOMMENDER = "lightgcn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The settings of groups `Model` and `Who stays`; see `ExportOptions`, which has them all."""

    bits: int = setting(
        0,
        group="Model",
        option=True,
        choices=tuple(WIDTHS),
        help="Bits of a codebook element; 32 stands for floats that are not quantised.",
        unset="8 with product codes, else 4",
    )
    dim: int = setting(
        0,
        group="Model",
        option=True,
        metavar="D",
        least=1,
        help="Length of an embedding; even at 4 bits.",
        unset="56 with product codes, else 64",
    )
    retention: float | None = setting(
        None,
        group="Model",
        option=True,
        metavar="R",
        above=0,
        most=1,
        help="Share of the users and items that keep an embedding of their own; the others are pruned.",
        unset="0.7, or less to meet a budget; 1 for a handful of entities",
    )
    assignment: str = setting(
        "product",
        group="Model",
        option=True,
        choices=tuple(ASSIGNMENTS),
        own=assignment_kind,
        help="Where codes come from: product codes, METIS, LEGCF, a row of its own for everyone (full), or "
        "an assignment of your own as file.py:name.",
    )
    recommender: str = setting(
        USUAL_RECOMMENDER,
        group="Model",
        choices=tuple(RECOMMENDERS),
        own=recommender_kind,
        help="The model to train: LightGCN, matrix factorisation (mf), XSimGCL, which contrasts layers, or a "
        "recommender of your own as file.py:name.",
    )
    layers: int | None = setting(
        None,
        group="Model",
        metavar="L",
        least=0,
        help="Number of propagation layers.",
        unset="1 with product codes and full tables, else 3; 3 with xsimgcl, 0 with mf",
    )
    codebook_rows: int | None = setting(
        None,
        group="Model",
        metavar="C",
        least=1,
        help="Number of rows of the codebook.",
        unset="256 with product codes, else by the number of users and items, or fewer to meet a budget",
    )
    codes_per_entity: int | None = setting(
        None,
        group="Model",
        metavar="T",
        least=1,
        help="Number of codes that make up an embedding.",
        unset="one for every 4 dimensions with product codes, else 2",
    )
    anchor_weight: float = setting(
        0.6,
        group="Model",
        metavar="W",
        above=0,
        most=1,
        help="Weight of the first code of an entity; the others share the rest.",
    )
    auxiliaries: str = setting(
        "neighbours",
        group="Model",
        choices=AUXILIARIES,
        help="How the other codes of an entity are chosen: from where its interactions lead, or at random.",
    )
    step_sizes: str = setting(
        "one",
        group="Model",
        choices=("one", "row"),
        help="Use one step size for the whole codebook, or one for each row.",
    )
    quantisation: str = setting(
        "learned",
        group="Model",
        choices=("learned", "post-training"),
        help="Quantise while training, or train in 32 bits and round afterwards.",
    )
    selector: str = setting(
        AUTO,
        group="Who stays",
        metavar="NAME",
        help="How to choose who stays: auto (the best by validation), bip, bip-reach, bip-norm, bip-global, "
        "random, degree, norm, pagerank, or a function of your own as file.py:function.",
    )
    rounding_boundary: float = setting(
        0.5,
        group="Who stays",
        metavar="O",
        above=0,
        most=1,
        help="In selectors that solve the binary program, round up whoever has at least this share in the "
        "relaxed solution.",
    )
    min_users: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Keep at least this many users.",
        unset="half of what retention would keep of them",
    )
    min_items: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Keep at least this many items.",
        unset="half of what retention would keep of them",
    )
    keep_users: tuple[int | str, ...] = setting(
        (), group="Who stays", metavar="ID,...", help="Always keep these users."
    )
    keep_items: tuple[int | str, ...] = setting(
        (), group="Who stays", metavar="ID,...", help="Always keep these items."
    )
    edge_budget: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Keep users and items whose interactions add up to at most this many, each counted on both of "
        "its sides.",
        unset="no limit",
    )
    rewiring: str = setting(
        "multi-hop",
        group="Who stays",
        choices=("multi-hop", "none"),
        help="Replace interactions with pruned entities by paths around them; with none, some of those that "
        "stay may be left without any.",
    )
    placeholders: int | None = setting(
        None,
        group="Who stays",
        metavar="N",
        least=0,
        help="Use at most this many embeddings to stand for all pruned users and items.",
        unset="500, and at most one for four pruned",
    )
