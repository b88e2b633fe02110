"""Serving from a history through traced programs, with each lowering, propagation and item table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from _oracles import reseal
from _real import RealBundle, write_real
from scipy import sparse

from lerg_runtime import Recommender

pytestmark = pytest.mark.native


def from_history(folder: Path) -> Path:
    """The bundle with a manifest that serves pruned users from their history."""
    document = json.loads((folder / "manifest.json").read_bytes())
    document["serving"] = {"pruned_users": "history"}
    (folder / "manifest.json").write_text(json.dumps(document))
    reseal(folder)
    return folder


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> RealBundle:
    return write_real(tmp_path_factory.mktemp("int8") / "bundle", item_table="int8")


def rows_of(real: RealBundle, histories: sparse.csr_matrix, degrees: np.ndarray) -> np.ndarray:
    """float64 [B, d]: one hop for each row of `histories` [B, I], items having `degrees`."""
    sizes = np.maximum(histories.sum(1).A1, 1)
    _, item_rows = real.model.entity_rows()
    scaled = sparse.diags(sizes**-0.5) @ histories @ sparse.diags(degrees**-0.5)
    return scaled @ item_rows.astype(np.float64)


def graph(real: RealBundle, local: tuple[np.ndarray, np.ndarray] | None = None) -> sparse.csr_matrix:
    users, items = real.users, real.items
    if local is not None:
        users, items = np.concatenate((users, local[0])), np.concatenate((items, local[1]))
    shape = (real.model.user_count, real.model.item_count)
    return sparse.csr_matrix((np.ones(len(users)), (users, items)), shape=shape)


def check(
    rec: Recommender, real: RealBundle, row: np.ndarray, found: list[np.ndarray], seen: np.ndarray
) -> None:
    """All unseen items, with the scores of `row` but for what rounding the tables explains."""
    _, item_rows = real.model.entity_rows()
    ids, points = found
    items = rec.item_ids.find_many(ids)
    assert sorted(items.tolist()) == np.flatnonzero(~seen).tolist()
    scores, allowed = item_rows @ row, np.full(len(item_rows), 1e-5)
    if rec.manifest.model.item_table == "int8":
        # Half a step of either side's codes, and the row is a sum of rounded rows.
        reach = np.abs(item_rows).max(1)
        allowed += 0.6 / 127 * (np.abs(item_rows).sum(1) * np.abs(row).max() + 2 * np.abs(row).sum() * reach)
    assert np.all(np.abs(points - scores[items]) <= allowed[items])
    assert np.all(np.diff(points) <= 0)
    equal = points[1:] == points[:-1]
    assert np.all(items[1:][equal] > items[:-1][equal])


def contract(real: RealBundle, folder: Path) -> None:
    """Pruned users and a newcomer are ranked by one hop, alone and among others, now and after learning."""
    rec = Recommender.open(from_history(folder))
    retained = real.model.retained[: real.model.user_count]
    seen = graph(real)
    rows = rows_of(real, seen, np.maximum(seen.sum(0).A1, 1))
    everyone = rec.user_ids.take(np.arange(len(rows))).tolist()
    ids, points = rec.recommend(everyone, k=90)
    touched = seen.toarray() > 0
    for user in np.flatnonzero(~retained):
        there = points[user] > -np.inf
        check(rec, real, rows[user], [ids[user][there], points[user][there]], touched[user])
        if user % 20 == 4:
            for alone, among in zip(rec.recommend(everyone[user], k=90), (ids, points), strict=True):
                assert np.array_equal(alone, among[user][there])
    history = np.flatnonzero(touched[4])
    newcomer = rows_of(real, seen[[4]], seen.sum(0).A1 + 1)[0]
    found = rec.recommend_from_history(rec.item_ids.take(history), k=90)
    check(rec, real, newcomer, list(found), touched[4])
    plain = Recommender.open(real.folder).recommend(everyone, k=90)[1]
    assert np.array_equal(points[retained], plain[retained])
    assert not np.any(points[~retained, 0] == plain[~retained, 0])


def test_every_combination_serves_from_history(bundle: Path, real: RealBundle) -> None:
    contract(real, bundle)


def test_an_int8_table_serves_from_history(int8: RealBundle, tmp_path: Path) -> None:
    contract(int8, Path(shutil.copytree(int8.folder, tmp_path / "bundle")))


def test_the_budget_holds(bundle: Path, real: RealBundle) -> None:
    """Just enough memory for one user at a time, and more items than one call of the program gives."""
    inner = Recommender.open(from_history(bundle))._open
    plan = inner.plan(inner.workload(users_at_once=1))
    enough = max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend"))
    rec = Recommender.open(bundle, memory_budget=enough)
    everyone = rec.user_ids.take(np.arange(real.model.user_count)).tolist()
    rec.recommend(everyone[:10], k=90)
    rec.recommend_from_history(rec.item_ids.take(np.arange(90)), k=90, include_seen=True)
    assert rec.memory[1] <= enough


def test_local_interactions_count(bundle: Path, real: RealBundle, tmp_path: Path) -> None:
    """In the history of who is pruned and in the degrees; the same answers once saved and opened again."""
    rec = Recommender.open(from_history(bundle))
    unseen = np.argwhere(graph(real).toarray() == 0)
    chosen = unseen[unseen[:, 0] % 5 == 4][::150].T  # pruned users
    pairs = zip(rec.user_ids.take(chosen[0]).tolist(), rec.item_ids.take(chosen[1]).tolist(), strict=True)
    before = rec.recommend(everyone := rec.user_ids.take(np.arange(120)).tolist(), k=5)[1]
    rec.finetune(
        list(pairs), epochs=1, learning_rate=1e-9
    )  # moves no integer of the codebook, and no float far
    np.testing.assert_allclose(rec.state.codebook, Recommender.open(bundle).state.codebook, atol=1e-6)
    seen = graph(real, (chosen[0], chosen[1]))
    rows = rows_of(real, seen, np.maximum(seen.sum(0).A1, 1))
    rec.save(tmp_path / "copy")
    answers = [one.recommend(everyone, k=90) for one in (rec, Recommender.open(tmp_path / "copy"))]
    for one, other in zip(*answers, strict=True):
        assert np.array_equal(one, other)
    ids, points = answers[0]
    for user in np.unique(chosen[0]):
        there = points[user] > -np.inf
        check(rec, real, rows[user], [ids[user][there], points[user][there]], seen.toarray()[user] > 0)
        assert not np.array_equal(points[user, :5], before[user])
