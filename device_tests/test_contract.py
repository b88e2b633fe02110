"""What every device must do with a bundle, asked through a transport: one suite for each kind of device."""

from __future__ import annotations

import numpy as np
import pytest

from device_tests.conftest import LEARN, Device

RELATIVE = 1e-6  # between machines, of the largest: sums are taken in another order

# Each script runs on the device with the bundle's path as sys.argv[1] and prints one JSON value.
PRELUDE = (
    """
import json, sys
import numpy as np
from lerg_runtime import Recommender
from lerg_runtime.errors import BudgetError

bundle = sys.argv[1]

def plan_of(*phases):
    with Recommender.open(bundle) as rec:
        plan = rec.plan()
    return max(plan.phase(name).total_bytes for name in phases)

def ids(recommender, side, count):
    return getattr(recommender, side + "_ids").take(np.arange(count)).tolist()

def say(**values):
    print(json.dumps(values))
"""
    + LEARN
)

OPEN = """
budget = plan_of("open", "encode", "recommend")
with Recommender.open(bundle, memory_budget=budget) as rec:
    items, scores = rec.recommend(ids(rec, "user", 1)[0], k=5)
    say(budget=budget, peak=rec.memory[1], items=len(items))
"""

REFUSE = """
budget = plan_of("open") // 2
try:
    Recommender.open(bundle, memory_budget=budget)
except BudgetError as error:
    say(budget=error.budget_bytes, needed=error.needed_bytes, items=len(error.items))
"""

RECOMMEND = """
with Recommender.open(bundle, memory_budget=budget) as rec:
    users = ids(rec, "user", 5)
    many, many_scores = rec.recommend(users, k=7)
    single = [rec.recommend(user, k=7) for user in users]
    everything, _ = rec.recommend(users[0], k=len(rec.item_ids), include_seen=True)
    same = [(many[i] == one[0]).all() and (many_scores[i] == one[1]).all() for i, one in enumerate(single)]
    say(same=bool(all(same)),
        falling=bool((np.diff(many_scores, axis=1) <= 0).all()),
        catalogue=len(rec.item_ids), all_distinct=len(set(everything.tolist())))
"""

FINETUNE = """
with Recommender.open(bundle, memory_budget=budget) as rec:
    # Somebody likes what the model ranks last for them: the loss has far to fall.
    user = ids(rec, "user", 1)[0]
    ranked, before = rec.recommend(user, k=len(rec.item_ids) // 2)
    chosen = ranked[-5:].tolist()
    report = learn(rec, [(user, item) for item in chosen], epochs=8, learning_rate=0.02, seed=1)
    if report is None:
        say(refused=True)
        sys.exit()
    after, scores = rec.recommend(user, k=10)
    rec.save()
with Recommender.open(bundle, memory_budget=budget) as again:
    reopened, reopened_scores = again.recommend(user, k=10)
    say(losses=[float(epoch.loss) for epoch in report.epochs],
        offered_again=sorted(set(chosen) & set(after.tolist())),
        same=bool((after == reopened).all() and (scores == reopened_scores).all()),
        generation=int(again.state.generation))
"""


def test_opens_under_a_budget_and_stays_within_it(device: Device) -> None:
    found = device.script(PRELUDE + OPEN).json()
    assert found["items"] == 5
    assert 0 < found["peak"] <= found["budget"]


def test_refuses_a_budget_below_the_plan(device: Device) -> None:
    found = device.script(PRELUDE + REFUSE).json()
    assert found["needed"] > found["budget"] > 0
    assert found["items"] > 0


def test_finetune_under_a_small_budget_exits_with_3(device: Device) -> None:
    missing = device.command("finetune", "--interactions", "nowhere.csv")
    assert missing.status == 2, missing.stderr
    written = device.script(PRELUDE + WRITE_ONE_INTERACTION)
    assert written.status == 0, written.stderr
    done = device.command("finetune", "--interactions", written.stdout.strip(), "--memory-budget", "10000")
    assert done.status == 3, done.stderr
    assert done.stderr.startswith("Error: ")
    assert "10000" in done.stderr


WRITE_ONE_INTERACTION = """
import os
path = os.path.join(os.path.dirname(bundle), "one.csv")
with Recommender.open(bundle, memory_budget=budget) as rec, open(path, "w") as file:
    print("user,item", file=file)
    print(ids(rec, "user", 1)[0], ids(rec, "item", 1)[0], sep=",", file=file)
print(path)
"""


def test_programs_answer_their_golden_inputs(device: Device) -> None:
    found = device.script(PRELUDE + GOLDEN).json()
    assert found == {"encode": [], "finetune": [], "recommend": []}


GOLDEN = """
from lerg_runtime.golden import check_golden
say(**{method: list(problems) for method, problems in check_golden(bundle).items()})
"""


def test_recommends_the_same_alone_and_together(device: Device) -> None:
    found = device.script(PRELUDE + RECOMMEND).json()
    assert found["same"]
    assert found["falling"]
    assert found["all_distinct"] == found["catalogue"]


def test_learns_saves_and_reopens(device: Device) -> None:
    found = device.script(PRELUDE + FINETUNE).json()
    if "refused" in found:
        pytest.skip(f"learning does not fit into {device.budget}, and is refused")
    assert found["losses"][-1] < found["losses"][0]
    assert found["offered_again"] == []
    assert found["same"]
    assert found["generation"] == 1


SAVE_FOR_EVER = """
import os, random, signal, time

ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    with Recommender.open(bundle, memory_budget=budget) as rec:
        pair = [(ids(rec, "user", 1)[0], ids(rec, "item", 1)[0])]
        while True:
            if learn(rec, pair, epochs=1) is None:
                rec.add_item(10_000_019, users=[pair[0][0]])
            rec.save()
            os.write(tell, b".")
os.close(tell)
assert os.read(ready, 1) == b".", "it ended before it had saved"
time.sleep(random.Random(int(sys.argv[2])).uniform(0, 0.1))
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
say(killed=True)
"""

REOPEN = """
with Recommender.open(bundle, memory_budget=budget) as rec:
    items, _ = rec.recommend(ids(rec, "user", 1)[0], k=5)
    say(generation=int(rec.state.generation), items=len(items))
"""


def test_state_survives_being_killed_while_it_is_saved(device: Device) -> None:
    generation = 0
    for seed in range(3):
        assert device.script(PRELUDE + SAVE_FOR_EVER, seed).json() == {"killed": True}
        found = device.script(PRELUDE + REOPEN).json()
        assert found["generation"] > generation
        assert found["items"] == 5
        generation = found["generation"]


ANSWERS = """
with Recommender.open(bundle, memory_budget=budget) as rec:
    users = ids(rec, "user", 20)
    items, scores = rec.recommend(users, k=10)
    old, old_scores = rec.recommend_from_history(items[3][:4].tolist(), k=10)
    shop, shop_scores = rec.recommend(users, k=5, items=ids(rec, "item", 60), exclude=items[0][:3])
    near, cosines = rec.similar_users(users[:3], k=5)
    why = rec.explain(old[:5].tolist(), items[0][0])
    metrics = rec.evaluate([(user, items[row][4]) for row, user in enumerate(users)], k=10)
    pairs = [(user, items[row][rank]) for row, user in enumerate(users) for rank in (2, 5, 9)]
    report = learn(rec, pairs, epochs=2, seed=5)
    later, later_scores = rec.recommend(users, k=10)
    rec.add_item(10_000_019, users=users[:3])
    new, new_scores = rec.recommend(users, k=10)
    say(ids=[part.tolist() for part in (items, old, later, shop, near, new)],
        codebook=rec.state.codebook.tolist(), metrics=[metrics.recall, metrics.ndcg],
        numbers=[*np.concatenate([scores, later_scores, new_scores]).ravel().tolist(), *old_scores.tolist(),
                 *shop_scores[shop_scores > -np.inf].tolist(), *cosines.ravel().tolist(), *sorted(why.shares),
                 *map(float, report.losses if report else []), *np.ravel(rec.state.step).tolist()])
"""


def test_answers_are_those_of_this_machine(device: Device, here: Device) -> None:
    found, expected = (place.script(PRELUDE + ANSWERS).json() for place in (device, here))
    numbers = expected.pop("numbers")
    assert found.pop("numbers") == pytest.approx(numbers, rel=RELATIVE, abs=RELATIVE * np.abs(numbers).max())
    assert found == expected


def test_profiles_each_program(device: Device) -> None:
    found = device.command("profile", "--json").json()
    assert set(found["latency_ms"]) == {"encode", "finetune", "recommend"}
    for latency in found["latency_ms"].values():
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert found["memory"]["peak_rss_bytes"] > found["memory"]["baseline_rss_bytes"] > 0
    assert found["memory"]["planned_bytes"] > 0
