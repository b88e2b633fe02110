"""The whole runtime on bundles with traced programs: native session, kernels, budget and all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _oracles import by_definition, reseal, unpack
from _real import RealBundle

from lerg_runtime import BudgetError, BundleError, Recommender, _native, kernels_path
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.engine._engine import LoadedMethod

pytestmark = pytest.mark.native


def dense(real: RealBundle) -> tuple[np.ndarray, np.ndarray]:
    """Scores float64 [U, I] by the method's own plain definition, and what is seen."""
    user_rows, item_rows = real.model.entity_rows()
    seen = np.zeros((real.model.user_count, real.model.item_count), dtype=bool)
    seen[real.users, real.items] = True
    return user_rows.astype(np.float64) @ item_rows.astype(np.float64).T, seen


def own_community(real: RealBundle, count: int) -> list[tuple[str, int]]:
    """Unseen pairs that the neighbourhood suggests: the model has something to learn from them."""
    rec = Recommender.open(real.folder)
    _, seen = dense(real)
    paths = seen.astype(np.int64) @ seen.T @ seen
    paths[seen] = -1
    best = np.argsort(-paths, axis=None, kind="stable")[:count]
    users, items = np.unravel_index(best, paths.shape)
    return list(zip(rec.user_ids.take(users).tolist(), rec.item_ids.take(items).tolist(), strict=True))


def test_tables_are_those_of_the_plain_definition(real: RealBundle) -> None:
    with Recommender.open(real.folder)._open.serving() as serving:
        for table, expected in zip(
            (serving.user_table, *serving.item_arrays), real.model.tables(), strict=True
        ):
            assert np.allclose(table, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 20, 32, 33, 90])
def test_recommendations_are_those_of_dense_algebra(real: RealBundle, k: int) -> None:
    scores, seen = dense(real)
    rec = Recommender.open(real.folder)
    everyone = rec.user_ids.take(np.arange(real.model.user_count)).tolist()
    ids, points = rec.recommend(everyone, k=k)
    items = np.where(points > -np.inf, rec.item_ids.find_many(ids.reshape(-1)).reshape(ids.shape), -1)
    masked = np.where(seen, -np.inf, scores)
    expected = -np.sort(-masked, axis=1)[:, :k]
    assert np.array_equal(np.isfinite(points), np.isfinite(expected))
    there = items >= 0
    rows = np.nonzero(there)[0]
    assert np.allclose(points[there], expected[there], rtol=1e-4, atol=1e-6)
    assert np.allclose(masked[rows, items[there]], expected[there], rtol=1e-4, atol=1e-6)
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in items)
    # Equal scores come in the order of items.
    equal = (points[:, 1:] == points[:, :-1]) & there[:, 1:]
    assert np.all(items[:, 1:][equal] > items[:, :-1][equal])
    one, score = rec.recommend(everyone[5], k=k)
    assert one.tolist() == ids[5][there[5]].tolist()
    assert np.array_equal(score, points[5][there[5]])


def test_evaluation_is_that_of_dense_algebra(real: RealBundle) -> None:
    rec = Recommender.open(real.folder)
    scores, seen = dense(real)
    pairs = own_community(real, 150)
    wanted: dict[int, set[int]] = {}
    for user, item in pairs:
        wanted.setdefault(rec.user_ids.find(user), set()).add(rec.item_ids.find(item))
    top = [
        np.argsort(-np.where(seen[user], -np.inf, scores[user]), kind="stable")[:20].tolist()
        for user in wanted
    ]
    found = rec.evaluate(pairs)
    assert (found.recall, found.ndcg) == pytest.approx(
        by_definition(top, list(wanted.values()), 20), abs=1e-3
    )


def test_training_on_everything_raises_quality(bundle: Path, real: RealBundle) -> None:
    rec = Recommender.open(bundle)
    test = own_community(real, 200)
    before = rec.evaluate(test)
    report = rec.finetune(epochs=25)
    after = rec.evaluate(test)
    assert report.losses[-1] < 0.9 * report.losses[0]
    assert after.ndcg > 1.1 * before.ndcg
    assert np.all(rec.state.step > 0)


def test_what_was_learnt_survives(bundle: Path, real: RealBundle, tmp_path: Path) -> None:
    rec = Recommender.open(bundle)
    pairs = own_community(real, 12)
    report = rec.finetune(pairs, epochs=3)
    assert report.new_interactions == 12
    users = [user for user, _ in pairs]
    items, scores = rec.recommend(users, k=40)
    for (_, item), row in zip(pairs, items, strict=True):
        assert item not in row.tolist()
    rec.save()
    rec.save(tmp_path / "copy")
    for folder in (bundle, tmp_path / "copy"):
        again, points = Recommender.open(folder).recommend(users, k=40)
        assert np.array_equal(again, items)
        assert np.array_equal(points, scores)


def test_threads_do_not_change_results(bundle: Path, real: RealBundle) -> None:
    pairs = own_community(real, 10)
    states = []
    for threads in (1, 2, 1):
        _native.set_threads(threads)
        rec = Recommender.open(bundle)
        rec.finetune(pairs, epochs=2, seed=3)
        states.append((rec.state.codebook.tobytes(), rec.state.step.tobytes()))
    assert len(set(states)) == 1


def test_the_plan_is_enough_and_no_more_is_taken(bundle: Path, real: RealBundle) -> None:
    wide = Recommender.open(bundle)
    inner = wide._open
    least = {
        phase: inner.plan(inner.workload(users_at_once=1)).phase(phase).total_bytes
        for phase in ("open", "encode", "recommend")
    }
    enough = max(least.values())
    rec = Recommender.open(bundle, memory_budget=enough)
    assert rec.recommend(["useré0001", "useré0002"], k=50)[0].shape == (2, 50)
    assert rec.memory[1] <= enough
    with pytest.raises(BudgetError, match="opening this bundle needs"):
        Recommender.open(bundle, memory_budget=enough - 1)

    training = (
        inner.plan(inner.workload(batch=64, new_interactions=5, replayed=64)).phase("finetune").total_bytes
    )
    rec = Recommender.open(bundle, memory_budget=max(enough, training))
    report = rec.finetune(own_community(real, 5), epochs=1, batch=64)
    # Opening, where the program is decoded, may take more than a step with so few triples.
    assert 0.5 * training < report.peak_bytes <= max(enough, training)
    if training > enough:
        with pytest.raises(BudgetError, match="fine-tuning needs"):
            Recommender.open(bundle, memory_budget=training - 1).finetune(
                own_community(real, 5), epochs=1, batch=64
            )


PROFILED = {
    "folded": {
        "encode": "lerg::folded_table.out",
        "recommend": "lerg::top_items.out",
        "finetune": "lerg::folded_loss_grad.out",
    },
    "native": {
        "encode": "lerg::propagate_table.out",
        "recommend": "lerg::top_items.out",
        "finetune": "lerg::propagate_rows_grad.out",
    },
    "portable": {
        "encode": "aten::embedding.out",
        "recommend": "aten::topk.values",
        "finetune": "aten::sum.IntList_out",
    },
    "portable, folded": {
        "encode": "aten::embedding.out",
        "recommend": "aten::topk.values",
        "finetune": "aten::scatter_add.out",
    },
}


def test_profile_tells_each_operator(bundle: Path) -> None:
    rec = Recommender.open(bundle)
    kind = rec.manifest.document["lowering"]
    if rec.manifest.model.entries:
        kind = "folded" if kind == "native" else "portable, folded"
    result = rec.profile(runs=5, seconds=0.1)
    for entry in result.methods:
        assert set(entry.operators_ms) <= set(rec.manifest.program(entry.method).operators)
        assert PROFILED[kind][entry.method] in entry.operators_ms
    assert result.allocated_bytes <= result.planned_bytes
    assert result.build["executorch"].startswith("1.5")


@pytest.mark.parametrize("damage", ["zeros", "half", "head"])
def test_a_resealed_program_that_is_none(bundle: Path, damage: str) -> None:
    path = unpack(bundle)
    data = path.read_bytes()
    path.write_bytes(
        {"zeros": bytes(len(data)), "half": data[: len(data) // 2], "head": bytes(64) + data[64:]}[damage]
    )
    reseal(bundle)
    with pytest.raises(BundleError, match=r"model\.pte"):
        Recommender.open(bundle)


def test_a_resealed_plan_that_is_too_small_is_found(bundle: Path) -> None:
    document = json.loads((bundle / "manifest.json").read_bytes())
    for program in document["methods"]:
        program["arena_bytes"] = [size // 2 for size in program["arena_bytes"]]
        program["planned_bytes"] = sum(program["arena_bytes"]) + program["scratch_bytes"]
    (bundle / "manifest.json").write_text(json.dumps(document))
    reseal(bundle)
    with pytest.raises(BundleError, match="plans other memory for"):
        Recommender.open(bundle)


def test_kernels_that_want_more_scratch_than_the_manifest_says_get_it(bundle: Path, real: RealBundle) -> None:
    # As when a bundle was measured with the kernels of an earlier release.
    document = json.loads((bundle / "manifest.json").read_bytes())
    for program in document["methods"]:
        program["planned_bytes"] -= program["scratch_bytes"] - 64
        program["scratch_bytes"] = 64
    (bundle / "manifest.json").write_text(json.dumps(document))
    reseal(bundle)
    pairs = own_community(real, 8)
    usual, short = Recommender.open(real.folder), Recommender.open(bundle)
    assert usual.recommend("useré0001")[0].tolist() == short.recommend("useré0001")[0].tolist()
    assert usual.finetune(pairs, epochs=1).losses == short.finetune(pairs, epochs=1).losses
    assert np.array_equal(usual.state.codebook, short.state.codebook)


def test_a_method_that_no_scratch_satisfies_is_loaded_again_once(real: RealBundle) -> None:
    class Hungry:
        def execute(self, *_: object, **__: object) -> None:
            raise BudgetError("more")

    scratch: list[int] = []
    spec = BundleFolder.open(real.folder).manifest.program("encode")
    loaded = LoadedMethod(spec, Hungry(), lambda size: scratch.append(size) or Hungry())
    for _ in range(2):
        with pytest.raises(BudgetError, match="more"):
            loaded.execute()
    assert scratch == [0]


DEVICE = """
import json, sys
from lerg_runtime import Recommender
from lerg_runtime.engine._resident import peak_resident_bytes, resident_bytes

rec = Recommender.open(sys.argv[1])
ids, _ = rec.recommend("user\\u00e90001", k=20)
plan = rec.plan()
print(json.dumps({
    "items": ids.tolist(),
    "peak": peak_resident_bytes(),
    "planned": max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend")),
    "modules": sorted({name.split(".")[0] for name in sys.modules} | {"numpy.random"} & set(sys.modules)),
}))
"""


def test_a_small_process_serves_it(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEVICE, str(bundle)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert len(told["items"]) == 20
    # Stock kernels come in a library of 10 MB, of which the system maps as much as it likes at once.
    portable = Recommender.open(bundle).manifest.document["lowering"] == "portable"
    assert told["peak"] - told["planned"] < (50_000_000 if portable else 45_000_000)
    # Seven megabytes that recommending has no use for, and the packages that a device does not have.
    assert not {"numpy.random", "torch", "executorch", "scipy", "lerg_edge", "click"} & set(told["modules"])


def test_a_process_that_ends_with_it_open_says_nothing(bundle: Path) -> None:
    code = (
        "import sys, lerg_runtime; opened = lerg_runtime.Recommender.open(sys.argv[1]); print(opened.memory)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_several_processes_serve_it(bundle: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", DEVICE, str(bundle)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate()[0])["items"] for process in running]
    assert answers[0] == answers[1]


def test_kernels_are_where_they_are_said_to_be() -> None:
    path = kernels_path()
    assert path.name.startswith("liblerg_kernels")
    assert path.is_file()
