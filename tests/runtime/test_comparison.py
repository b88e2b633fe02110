"""Intervals of metrics and differences of two bundles, against scipy and by what is sure."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from _rankings import USERS, measured, rankings
from _shell import Shell
from _tiny import TinyModel, raw_ids, write_tiny

from lerg_runtime import InputError, InteractionsFile, Metrics, Recommender
from lerg_runtime.bundle._ids import ids_from_values
from lerg_runtime.serving._bootstrap import percentile_interval, resampled_sums
from lerg_runtime.serving._per_user import UserFigures

KS = (5, 20)
NAMES = [f"user-{number:03}" for number in range(USERS)]


def of_seed(seed: int) -> Metrics:
    found = measured(rankings(seed), KS, per_user=True)
    assert found.per_user is not None
    return replace(found, per_user=replace(found.per_user, ids=ids_from_values(NAMES)))


def shuffled(figures: UserFigures, *, keep: int) -> UserFigures:
    """The same users in the order of another bundle, and only some of them."""
    order = np.random.default_rng(1).permutation(len(figures))
    rows = order[:keep]
    return UserFigures(
        figures.ks,
        ids_from_values([NAMES[user] for user in order]),
        np.arange(keep, dtype=np.int32),
        figures.tests[rows],
        figures.figures[rows],
        figures.own_popularity[rows],
    )


@pytest.mark.parametrize("sizes", [(400,), (100, 250, 50), (1,) * 400])
def test_resamples_are_draws_with_replacement(sizes: tuple[int, ...]) -> None:
    values = np.random.default_rng(2).gamma(2.0, size=(400, 1))
    table = np.concatenate((values, np.ones_like(values), values**2), axis=1)
    blocks = np.split(table, np.cumsum(sizes)[:-1])
    sums = resampled_sums(iter(blocks), 400, 3, resamples=4000, seed=3)
    assert (sums[:, 1] == 400).all()
    theirs = scipy.stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(4)
    )
    assert sums[:, 0].mean() / 400 == pytest.approx(values.mean(), rel=0.01)
    assert sums[:, 0].std() / 400 == pytest.approx(theirs.standard_error, rel=0.06)
    low, high = percentile_interval(sums[:, 0] / 400)
    interval = theirs.confidence_interval
    assert (low, high) == pytest.approx((interval.low, interval.high), rel=0.01)
    assert np.array_equal(sums, resampled_sums(iter(blocks), 400, 3, resamples=4000, seed=3))
    assert not np.array_equal(sums, resampled_sums(iter(blocks), 400, 3, resamples=4000, seed=4))


def test_intervals_are_about_the_averages() -> None:
    found = of_seed(17)
    told = found.intervals(resamples=2000)
    averages = {name: value for name, value in found.as_dict().items() if "@" in name}
    assert set(told) == {name for name in averages if not name.startswith("coverage")}
    for name, span in told.items():
        value = averages[name]
        assert isinstance(value, float)
        assert span.low < value < span.high, name
    assert found.per_user is not None
    wide = found.per_user.figures[:, 1, 5].std() / np.sqrt(USERS)
    assert told["ndcg@20"].high - told["ndcg@20"].low == pytest.approx(2 * 1.96 * wide, rel=0.1)
    popularity, own = found.per_user.figures[:, 0, 7], found.per_user.own_popularity
    theirs = scipy.stats.bootstrap(
        (popularity, own),
        lambda one, other: one.mean() / other.mean() - 1,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    lift = told["popularity_lift@5"]
    assert (lift.low, lift.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_a_bundle_does_not_differ_from_itself() -> None:
    found = of_seed(17)
    assert found.per_user is not None
    again = replace(found, per_user=shuffled(found.per_user, keep=USERS))
    told = found.compare(again)
    assert (told.users, told.left_out, told.other_left_out) == (USERS, 0, 0)
    for name, row in told.differences.items():
        assert (row.this, row.difference, row.low, row.high) == pytest.approx((row.other, 0, 0, 0), abs=1e-12)
        assert row.this == pytest.approx(found.as_dict()[name], rel=1e-6)


def test_differences_are_paired() -> None:
    found = of_seed(17)
    assert found.per_user is not None
    better = found.per_user.figures + np.float32(0.01)  # for everyone: users differ far more than that
    told = replace(found, per_user=replace(found.per_user, figures=better)).compare(found)
    row = told.differences["ndcg@20"]
    assert (row.difference, row.low, row.high) == pytest.approx((0.01, 0.01, 0.01), abs=1e-6)
    span = found.intervals()["ndcg@20"]
    assert span.high - span.low > 0.05


def test_users_of_one_bundle_alone_are_left_out() -> None:
    found, other = of_seed(17), of_seed(18)
    assert found.per_user is not None
    assert other.per_user is not None
    theirs = shuffled(other.per_user, keep=40)
    told = found.compare(replace(other, per_user=theirs), resamples=50)
    by_name = {name: row for row, name in enumerate(theirs.ids.take(theirs.users).tolist())}
    same = [
        (user, by_name[name])
        for user, name in enumerate(NAMES)
        if name in by_name and found.per_user.tests[user] == theirs.tests[by_name[name]]
    ]
    assert 0 < len(same) < 40
    assert (told.users, told.left_out, told.other_left_out) == (len(same), USERS - len(same), 40 - len(same))
    ours, others = (list(rows) for rows in zip(*same, strict=True))
    row = told.differences["map@5"]
    assert row.this == pytest.approx(found.per_user.figures[ours, 0, 4].mean(), rel=1e-6)
    assert row.other == pytest.approx(theirs.figures[others, 0, 4].mean(), rel=1e-6)


def test_what_cannot_be_compared() -> None:
    found = of_seed(17)
    assert found.per_user is not None
    with pytest.raises(InputError, match="per_user=True"):
        found.compare(measured(rankings(), KS))
    with pytest.raises(InputError, match="the same k"):
        found.compare(replace(found, per_user=replace(found.per_user, ks=(5, 10))))
    nobody = replace(found.per_user, ids=ids_from_values([f"x{name}" for name in NAMES]))
    with pytest.raises(InputError, match="no user was measured"):
        found.compare(replace(found, per_user=nobody))
    with pytest.raises(InputError, match="resamples is 0"):
        found.intervals(resamples=0)


def test_the_command_compares(shell: Shell, tiny_bundle: Path, model: TinyModel, tmp_path: Path) -> None:
    users, items = raw_ids("text", model.users, prefix="user"), raw_ids("text", model.items, prefix="item")
    pairs = [(users[u], items[i]) for u in range(30) for i in np.flatnonzero(~model.seen()[u])[:4].tolist()]
    path = tmp_path / "test.csv"
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs))
    other = write_tiny(tmp_path / "other", replace(model, codebook=-model.codebook))
    options = ("--test", path, "-k", "5,10", "--resamples", 200, "--seed", 4)
    told = shell.json("evaluate", tiny_bundle, *options, "--compare", other, "--intervals")
    with Recommender.open(tiny_bundle) as one, Recommender.open(other) as two:
        this, that = (rec.evaluate(InteractionsFile(path), k=(5, 10), per_user=True) for rec in (one, two))
    expected = this.compare(that, resamples=200, seed=4)
    assert told["comparison"] == {"other": str(other), **expected.as_dict()}
    assert told["comparison"]["differences"]["ndcg@5"]["this"] == pytest.approx(told["ndcg@5"], rel=1e-6)
    assert told["ndcg@5"] != that.at(5).ndcg
    assert told["intervals"]["ndcg@5"][0] < told["ndcg@5"] < told["intervals"]["ndcg@5"][1]
    status, out, _ = shell("evaluate", tiny_bundle, *options, "--compare", other)
    assert status == 0
    assert f"{tiny_bundle} less {other}, over 30 users; left out: 0 of the former and 0 of the latter" in out
    row = expected.differences["ndcg@5"]
    shown = f"{row.this:.4f} {row.other:.4f} {row.difference:+.4f} {row.low:+.4f} to {row.high:+.4f}"
    assert f"NDCG @5 {shown}" in [" ".join(line.split()) for line in out.splitlines()]
    status, out, _ = shell("evaluate", tiny_bundle, *options, "--intervals")
    assert "95 %" in out
    status, _, err = shell("evaluate", tiny_bundle, *options, "--compare", tmp_path)
    assert status == 4
    assert "SHA256SUMS" in err


def test_figures_of_the_first_bundle_are_in_the_budget_of_the_second(
    shell: Shell, tiny_bundle: Path, tmp_path: Path, model: TinyModel
) -> None:
    users, items = raw_ids("text", model.users, prefix="user"), raw_ids("text", model.items, prefix="item")
    pairs = [(users[u], items[i]) for u in range(30) for i in np.flatnonzero(~model.seen()[u])[:4].tolist()]
    path = tmp_path / "test.csv"
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs))
    asked = ("evaluate", tiny_bundle, "--test", path, "-k", "5", "--json", "--intervals", "--memory-budget")
    alone = enough(shell, *asked)
    comparing = (*asked[:-1], "--compare", tiny_bundle, asked[-1])
    both = enough(shell, *comparing)
    with Recommender.open(tiny_bundle) as recommender:
        figures = recommender.evaluate(InteractionsFile(path), k=5, per_user=True).per_user
    assert figures is not None
    assert both == alone + figures.nbytes
    status, _, err = shell(*comparing, both - 1)
    assert status == 3
    assert f"comparing with another bundle needs {both} bytes and the memory budget is {both - 1}" in err
    assert f"figures of {tiny_bundle} {figures.nbytes}" in err


def enough(shell: Shell, *asked: object) -> int:
    """The budget that refusals lead to."""
    budget = 1000
    for _ in range(6):
        status, _, err = shell(*asked, budget)
        if status == 0:
            return budget
        assert status == 3
        found = re.search(r"give at least (\d+) bytes", err)
        assert found is not None
        budget = int(found[1])
    raise AssertionError("refusals do not lead to a budget that is enough")
