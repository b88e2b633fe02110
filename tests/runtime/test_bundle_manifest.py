"""The manifest: each way in which one can be wrong has its own sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from _tiny import TinyModel, tiny_manifest, tiny_model

from lerg_runtime.bundle import HistoryRule, Manifest, ModelShape, ServingWays
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._manifest import render_manifest
from lerg_runtime.errors import BundleError

FILES = {"entities.arrays": 10, "golden.arrays": 10, "interactions.arrays": 10, "model.pte": 10}


@pytest.fixture
def document(model: TinyModel) -> dict[str, Any]:
    entry = tiny_manifest(model)
    entry["storage"]["bundle_bytes"] = 100
    return {"format": "lerg-bundle", "version": 2, "files": dict(FILES), **entry}


def test_parse_keeps_what_a_runtime_needs(document: dict[str, Any], model: TinyModel) -> None:
    manifest = Manifest.parse(render_manifest(document))
    assert (manifest.model.users, manifest.model.step_count, manifest.executorch) == (model.users, 1, "1.5")
    assert [spec.method for spec in manifest.programs] == ["encode", "finetune", "recommend"]
    assert manifest.finetune.batch == 32
    assert manifest.finetune.replay == 4
    assert manifest.finetune.sgd_learning_rate is None
    assert manifest.document["metrics"]["rewired"]["users"] == model.users


def test_how_pruned_users_are_served_may_be_left_out(document: dict[str, Any]) -> None:
    for serving, expected in (
        (None, "placeholder"),
        ({}, "placeholder"),
        ({"later": 1, "pruned_users": "placeholder"}, "placeholder"),
        ({"pruned_users": "history"}, "history"),
    ):
        stated = document if serving is None else {**document, "serving": serving}
        assert Manifest.parse(render_manifest(stated)).ways.pruned_users == expected


def test_rules_of_histories(document: dict[str, Any]) -> None:
    document["serving"] = {
        "pruned_users": "history",
        "retained_users": "table",
        "known": {"ridge": 10, "half_life": None},
        "unknown": {"ridge": 3.0, "half_life": 5.5, "later": 1},
    }
    ways = Manifest.parse(render_manifest(document)).ways
    assert ways == ServingWays("history", "table", HistoryRule(10.0), HistoryRule(3.0, 5.5))
    assert ways.ridges == (3.0, 10.0)
    document["serving"]["pruned_users"] = "placeholder"
    assert Manifest.parse(render_manifest(document)).ways.ridges == (3.0,), "nobody is served by the other"
    assert Manifest.parse(render_manifest({**document, "serving": {}})).ways == ServingWays()


def test_rendering_is_canonical(document: dict[str, Any]) -> None:
    data = render_manifest(document)
    assert render_manifest(json.loads(data)) == data
    backwards = dict(reversed(list(document.items())))
    assert render_manifest(backwards) == data


def test_unknown_keys_are_left_alone(document: dict[str, Any]) -> None:
    document["later"] = {"x": 1}
    document["model"]["later"] = 1
    assert Manifest.parse(render_manifest(document)).document["later"] == {"x": 1}


def at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change that sets one value; `...` removes it."""

    def change(document: dict[str, Any]) -> None:
        *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        target: Any = document
        for step in parents:
            target = target[step]
        if value is ...:
            del target[last]
        else:
            target[last] = value

    return change


WRONG = [
    ("format", "zip", "not the manifest of a bundle"),
    ("format", ..., "not the manifest of a bundle"),
    ("version", 3, "format version 3 .* upgrade lerg-edge"),
    ("version", 1, "format version 1, which .* no longer reads; make the bundle again"),
    ("version", 0, "version must be an integer of 1"),
    ("version", "1", "version must be an integer"),
    ("version", True, "version must be an integer"),
    ("lowering", "metal", "lowering must be 'native' or 'portable', not \"metal\""),
    ("lowering", "portable", "files must name .*model.ptd"),
    ("propagation", "mean", "propagation must be 'graph' or 'folded'"),
    ("propagation", "folded", "model.entries must be there for folded propagation and for no other"),
    ("model/entries", 4, "model.entries must be there for folded propagation and for no other"),
    ("model/entries", 0, "entries must be an integer of 1"),
    ("serving", "history", "serving must be an object"),
    ("serving", {"pruned_users": "best"}, "pruned_users must be 'placeholder' or 'history', not \"best\""),
    ("serving", {"pruned_users": None}, "pruned_users must be 'placeholder' or"),
    ("serving", {"retained_users": "placeholder"}, "retained_users must be 'table' or 'history'"),
    ("serving", {"known": 3}, "serving.known must be an object"),
    ("serving", {"known": {"half_life": 5}}, "known.half_life must be null"),
    ("serving", {"known": {"ridge": 0}}, "serving.known.ridge must be a number above 0"),
    ("serving", {"unknown": {"half_life": "5"}}, "unknown.half_life must be a number above 0"),
    ("serving", {"unknown": {"ridge": 1e7}}, "unknown.ridge must be a number above 0"),
    ("model", ..., "lacks 'model'"),
    ("model", [], "model must be an object"),
    ("form", ..., "lacks 'form'"),
    ("form", "private", "form must be 'shared'"),
    ("model/users", 0, "users must be an integer of 1"),
    ("model/users", 2**31, "users must be an integer"),
    ("model/items", 1.5, "items must be an integer"),
    ("model/dim", 5000, "dim must be"),
    ("model/bits", 5, "bits must be 4, 8, 16 or 32"),
    ("model/bits", 24, "bits must be 4, 8, 16 or 32"),
    ("model/codes_per_entity", 13, "codes_per_entity must be"),
    ("model/anchor_weight", 1.5, "anchor_weight must be a number"),
    ("model/anchor_weight", "1", "anchor_weight must be a number"),
    ("model/anchor_weight", ..., "lacks 'anchor_weight'"),
    ("model/composition", "product", "composition must be 'sum' or 'blocks', not \"product\""),
    ("model/composition", 1, "composition must be"),
    ("model/retained_users", 31, "retained_users must be"),
    ("model/user_placeholders", 0, "user_placeholders is 0 but 6 users are pruned"),
    ("model/step_shape", [2], r"step_shape must be \[1\] or \[12\]"),
    ("model/step_shape", [], r"step_shape must be \[1\] or \[12\]"),
    ("model/step_shape", 1, "step_shape must be a list"),
    ("model/max_batch", 1, "max_batch must be"),
    ("model/max_k", 41, "max_k must be an integer of 1 .. 40"),
    ("model/l2", -1, "l2 must be a number"),
    ("methods", [], "methods must be encode, finetune, recommend, not none"),
    ("methods/0", ..., "methods must be encode, finetune, recommend, not encode, recommend"),
    ("methods/0/method", "encode", "inputs of encode do not fit"),
    ("methods/0/method", "train", "method must be 'encode' or"),
    ("methods/0/file", "../model.pte", "file must be 'model.pte'"),
    ("methods/0/planned_bytes", 1, "planned_bytes is not the sum"),
    ("methods/0/arena_bytes", [2**41], "arena_bytes must be an integer"),
    ("methods/0/operators", [1], "operators must be a list of short texts"),
    ("methods/0/inputs", [], "inputs of finetune do not fit the model"),
    ("methods/1/inputs/0/dtype", "int16", "inputs of encode do not fit"),
    ("methods/2/outputs/0/shape", [4, 8], "outputs of recommend do not fit"),
    ("files", {}, "files must name"),
    ("files/model.pte", 0, "files.model.pte must be an integer of 1"),
    ("files/extra", 1, "files must name"),
    ("storage/bundle_bytes", ..., "lacks 'bundle_bytes'"),
    ("metrics", None, "metrics must be an object"),
    ("intervals", [], "intervals must be an object"),
    ("intervals", {"rewired": 1}, "rewired must be an object"),
    ("intervals", {"rewired": {"ndcg@20": [0.1]}}, "ndcg@20 must be a list of two numbers"),
    ("intervals", {"rewired": {"ndcg@20": [0.1, True]}}, "ndcg@20 must be a list of two numbers"),
    ("created_with", ..., "lacks 'created_with'"),
    ("requires/executorch", "1.5.1", "must be a release series"),
    ("requires/executorch", "x.y", "must be a release series"),
    ("finetune/learning_rate", 0, "learning_rate must be a number above 0"),
    ("finetune/learning_rate", ..., "lacks 'learning_rate'"),
    ("finetune/batch", 65, "batch must be an integer of 2 .. 64"),
    ("serving", {"local_counts": -0.1}, "local_counts must be a number from 0"),
    ("serving", {"local_counts": "much"}, "local_counts must be a number from 0"),
    ("finetune/replay", -0.5, "replay must be a number from 0"),
    ("finetune/replay", None, "replay must be a number from 0"),
    ("finetune/step_learning_rate", -1.0, "step_learning_rate must be"),
]


@pytest.mark.parametrize(
    ("path", "value", "reason"), WRONG, ids=[f"{path}={value!r}" for path, value, _ in WRONG]
)
def test_what_cannot_be_is_named(document: dict[str, Any], path: str, value: Any, reason: str) -> None:
    changed = copy.deepcopy(document)
    at(path, value)(changed)
    with pytest.raises(BundleError, match=f"place.*{reason}") as caught:
        Manifest.parse(render_manifest(changed), where="place")
    assert "\n" not in str(caught.value)


def blocks(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The document of the same sizes with rows of 4 blocks of 2 columns."""
    document["model"] |= {"composition": "blocks", "codes_per_entity": 4} | changes
    return document


@pytest.mark.parametrize("codes_per_entity", [1, 2, 4, 8])
def test_blocks_need_no_anchor_weight_and_no_reader_looks_at_it(
    document: dict[str, Any], codes_per_entity: int
) -> None:
    assert Manifest.parse(render_manifest(document)).model.blocks == 1
    with_one = Manifest.parse(
        render_manifest(blocks(document, codes_per_entity=codes_per_entity, anchor_weight="x"))
    )
    del document["model"]["anchor_weight"]
    shape = Manifest.parse(render_manifest(document)).model
    assert shape == with_one.model
    assert (shape.composition, shape.blocks, shape.anchor_weight) == ("blocks", codes_per_entity, 0.0)


@pytest.mark.parametrize(
    ("codes_per_entity", "reason"),
    [
        (3, "dim is 8; it must be a multiple of a row.s 3 blocks"),
        (5, "multiple of a row.s 5 blocks"),
        (0, "codes_per_entity must be an integer of 1 .. 8"),
        (16, "codes_per_entity must be an integer of 1 .. 8"),
        (..., "lacks 'codes_per_entity'"),
    ],
)
def test_blocks_that_cannot_be_are_named(
    document: dict[str, Any], codes_per_entity: Any, reason: str
) -> None:
    at("model/codes_per_entity", codes_per_entity)(blocks(document))
    with pytest.raises(BundleError, match=reason):
        Manifest.parse(render_manifest(document))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "must be an object"),
        (b'{"format": "a", "format": "b"}', "a key is repeated"),
        (b'{"format": NaN}', "NaN is not a number"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"version": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
    ids=["empty", "binary", "list", "repeated key", "nan", "deep", "long number"],
)
def test_what_is_no_manifest(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        Manifest.parse(data)


@pytest.mark.parametrize("changes", [{"step_shape": [12]}, {"entries": 4}], ids=str)
def test_32_bits_have_one_step_and_a_graph(changes: dict[str, Any]) -> None:
    changed = tiny_manifest(tiny_model(bits=32))
    changed["model"] |= changes
    with pytest.raises(BundleError, match="bits is 32, which goes with one step and with graph"):
        ModelShape.parse(Fields(changed["model"], "model"))
