"""A bundle whose item table is int8: the same answers but for rounding, in less memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from _oracles import reseal
from _real import RealBundle, write_real
from _shell import Shell

from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.errors import BudgetError, BundleError
from lerg_runtime.golden import check_golden

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[RealBundle, RealBundle]:
    """One model with a float32 and with an int8 item table."""
    folder = tmp_path_factory.mktemp("tables")
    return write_real(folder / "float32"), write_real(folder / "int8", item_table="int8")


def test_the_table_is_the_models_within_half_a_step(pair: tuple[RealBundle, RealBundle]) -> None:
    with Recommender.open(pair[1].folder)._open.serving() as serving:
        codes, scales = serving.item_arrays
    assert (codes.dtype, scales.dtype) == (np.int8, np.float32)
    expected = pair[1].model.tables()[1]
    assert np.allclose(scales, np.abs(expected).max(1) / 127, rtol=1e-4)
    assert (np.abs(codes * scales[:, None] - expected) <= 0.501 * scales[:, None] + 1e-6).all()


@pytest.mark.parametrize("k", [1, 20, 33, 90])
def test_recommendations_are_those_of_the_rounded_table(pair: tuple[RealBundle, RealBundle], k: int) -> None:
    rec = Recommender.open(pair[1].folder)
    inner = rec._open
    slots = inner.entities
    with inner.serving() as serving:
        codes, scales = serving.item_arrays
        rows = serving.user_table[slots.user_slots]
    steps = np.abs(rows).max(1) / np.float32(127)
    products = np.rint(rows / steps[:, None]).astype(np.int64) @ codes.astype(np.int64).T
    scores = ((products.astype(np.float32) * scales) * steps[:, None])[:, slots.item_slots]
    for user in range(len(rows)):
        scores[user, inner.interactions.of_user(user)] = -np.inf
    everyone = rec.user_ids.take(np.arange(len(rows))).tolist()
    ids, points = rec.recommend(everyone, k=k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert np.array_equal(points, np.take_along_axis(scores, order, 1))
    there = points > -np.inf
    assert np.array_equal(rec.item_ids.find_many(ids[there]), order[there])
    one, score = rec.recommend(everyone[5], k=k)
    assert one.tolist() == ids[5][there[5]].tolist()
    assert np.array_equal(score, points[5][there[5]])


def test_most_of_what_is_recommended_stays(pair: tuple[RealBundle, RealBundle]) -> None:
    found = []
    for bundle in pair:
        rec = Recommender.open(bundle.folder)
        everyone = rec.user_ids.take(np.arange(len(rec.user_ids))).tolist()
        found.append(rec.recommend(everyone, k=20)[0])
    same = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(*found, strict=True)])
    assert same > 0.97
    near = [Recommender.open(bundle.folder).similar_items(-20, k=10) for bundle in pair]
    assert len(set(near[0][0].tolist()) & set(near[1][0].tolist())) >= 9
    assert np.allclose(near[0][1], near[1][1], atol=0.01)


def test_quality_and_fine_tuning_hardly_differ(pair: tuple[RealBundle, RealBundle]) -> None:
    values, losses, hard = [], [], []
    for bundle in pair:
        rec = Recommender.open(bundle.folder)
        users, items = np.arange(60), (np.arange(60) * 7) % 90
        test = list(zip(rec.user_ids.take(users).tolist(), rec.item_ids.take(items).tolist(), strict=True))
        losses.append(rec.finetune(test[:20], epochs=1, negative_candidates=1).losses)
        hard.append(rec.finetune(test[20:40], epochs=1, negative_candidates=8).losses[0])
        values.append(rec.evaluate(test[20:], k=20).ndcg)
    assert losses[0] == losses[1]  # tables have no part in training but to tell hard negatives from easy ones
    assert hard[1] == pytest.approx(hard[0], rel=0.02)
    assert values[1] == pytest.approx(values[0], abs=0.02)


def test_the_plan_is_smaller_enough_and_kept(pair: tuple[RealBundle, RealBundle]) -> None:
    phases = []
    for bundle in pair:
        inner = Recommender.open(bundle.folder)._open
        plan = inner.plan(inner.workload(users_at_once=1))
        phases.append({name: plan.phase(name) for name in ("open", "encode", "recommend")})
    items = [
        {item.name: item.size_bytes for item in found["recommend"].items}["item table"] for found in phases
    ]
    rows, dim = pair[0].model.tables()[1].shape
    assert items[0] == pytest.approx(4 * rows * dim, abs=64)
    assert items[1] == pytest.approx(rows * (dim + 4), abs=128)
    assert phases[1]["recommend"].total_bytes < phases[0]["recommend"].total_bytes
    enough = max(phase.total_bytes for phase in phases[1].values())
    rec = Recommender.open(pair[1].folder, memory_budget=enough)
    rec.recommend(rec.user_ids.take(np.arange(2)).tolist(), k=50)
    assert rec.memory[1] <= enough
    with pytest.raises(BudgetError):
        Recommender.open(pair[1].folder, memory_budget=enough - 1)


def test_golden_examples_hold_and_wrong_codes_are_found(
    pair: tuple[RealBundle, RealBundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(check_golden(pair[1].folder).values()) == {()}
    read = BundleFolder.read_golden
    for off in (1, 2):  # a float that is about to be rounded may differ in its last bits, so 1 is allowed

        def altered(self: BundleFolder, off: int = off) -> dict[str, np.ndarray]:
            golden = read(self)
            codes = golden["encode.out.item_codes"].copy()
            codes[7] += off if codes[7] < 0 else -off
            return golden | {"encode.out.item_codes": codes}

        with monkeypatch.context() as patch:
            patch.setattr(BundleFolder, "read_golden", altered)
            assert len(check_golden(pair[1].folder)["encode"]) == off - 1


def test_profile_and_info_tell_it(pair: tuple[RealBundle, RealBundle], shell: Shell) -> None:
    profile = Recommender.open(pair[1].folder).profile(runs=5, seconds=0.1)
    operators = {entry.method: set(entry.operators_ms) for entry in profile.methods}
    assert {"lerg::quantise_rows.out", "lerg::row_scales.out"} <= operators["encode"]
    assert {"lerg::top_items_int8.out", "lerg::score_items_int8.out"} <= operators["recommend"]
    assert shell.json("info", pair[1].folder)["model"]["item_table"] == "int8"
    assert "int8" in shell("info", pair[1].folder)[1]


def test_a_manifest_that_calls_it_something_else_is_refused(
    pair: tuple[RealBundle, RealBundle], tmp_path: Path
) -> None:
    import shutil

    for name, message in (("int4", "item_table must be"), ("float32", "do not fit the model")):
        folder = Path(shutil.copytree(pair[1].folder, tmp_path / name))
        document = json.loads((folder / "manifest.json").read_bytes())
        document["model"]["item_table"] = name
        (folder / "manifest.json").write_text(json.dumps(document))
        reseal(folder)
        with pytest.raises(BundleError, match=message):
            Recommender.open(folder)
