"""What every device must do with a personal bundle: the contract of one person, whose history it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from device_tests.conftest import LEARN, Device

RELATIVE = 1e-6  # between machines, of the largest: sums are taken in another order

PRELUDE = (
    """
import json, os, random, signal, sys, time
import numpy as np
from lerg_runtime import Recommender
from lerg_runtime.errors import BudgetError

bundle = sys.argv[1]

def items(rec, count):
    return rec.item_ids.take(np.arange(count)).tolist()

def say(**values):
    print(json.dumps(values))
"""
    + LEARN
)

BUDGETS = """
with Recommender.open(bundle) as rec:
    plan = rec.plan()
    enough = max(plan.phase(name).total_bytes for name in ("open", "encode", "recommend"))
with Recommender.open(bundle, memory_budget=enough) as rec:
    rec.observe(items(rec, 3))
    found, scores = rec.recommend(k=5)
    opened = dict(enough=enough, peak=rec.memory[1], items=len(found))
try:
    Recommender.open(bundle, memory_budget=enough // 2)
except BudgetError as error:
    say(**opened, budget=error.budget_bytes, needed=error.needed_bytes, listed=len(error.items))
"""


def test_opens_under_its_plan_and_refuses_half_of_it(personal: Device) -> None:
    found = personal.script(PRELUDE + BUDGETS).json()
    assert found["items"] == 5
    assert 0 < found["peak"] <= found["enough"]
    assert found["needed"] > found["budget"] == found["enough"] // 2
    assert found["listed"] > 0


GOLDEN = """
from lerg_runtime.golden import check_golden
say(**{method: list(problems) for method, problems in check_golden(bundle).items()})
"""


def test_programs_answer_their_golden_inputs(personal: Device) -> None:
    found = personal.script(PRELUDE + GOLDEN).json()
    assert {"encode", "recommend"} <= set(found)
    assert not any(found.values())


REMEMBER = """
with Recommender.open(bundle, memory_budget=budget) as rec:
    touched = items(rec, 8)
    for number, item in enumerate(touched):
        rec.observe(item, when=1000 + number)
    rec.forget(touched[0])
    before, before_scores = rec.recommend(k=10)
    rec.save()
with Recommender.open(bundle, memory_budget=budget) as again:
    after, after_scores = again.recommend(k=10)
    kept = [item for item, _ in again.history()]
    same = bool((before == after).all() and (before_scores == after_scores).all())
    again.erase()
with Recommender.open(bundle, memory_budget=budget) as empty:
    say(same=same, right=kept == touched[1:], offered=sorted(set(kept) & set(after.tolist())),
        falling=bool((np.diff(after_scores) <= 0).all()), left=empty.history())
"""


def test_remembers_recommends_and_erases(personal: Device) -> None:
    found = personal.script(PRELUDE + REMEMBER).json()
    assert found == {"same": True, "right": True, "offered": [], "falling": True, "left": []}


SAVE_FOR_EVER = """
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    with Recommender.open(bundle, memory_budget=budget) as rec:
        number = len(rec.history())
        while True:
            rec.observe(items(rec, 60)[number % 60], when=10_000 * (1 + int(sys.argv[2])) + number)
            rec.save()
            number += 1
            os.write(tell, b".")
os.close(tell)
assert os.read(ready, 1) == b".", "it ended before it had saved"
time.sleep(random.Random(int(sys.argv[2])).uniform(0, 0.1))
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
with Recommender.open(bundle, memory_budget=budget) as rec:
    found, _ = rec.recommend(k=5)
    say(generation=int(rec.state.generation), kept=len(rec.history()), items=len(found))
"""


def test_history_survives_being_killed_while_it_is_saved(personal: Device) -> None:
    generation = 0
    for seed in range(3):
        found = personal.script(PRELUDE + SAVE_FOR_EVER, seed).json()
        assert found["generation"] > generation
        assert found["items"] == 5
        assert found["kept"] > 0
        generation = found["generation"]


ANSWERS = """
with Recommender.open(bundle, memory_budget=budget) as rec:
    everything = items(rec, 60)
    rec.observe(everything[:12], when=1000)
    found, scores = rec.recommend(k=10)
    old, old_scores = rec.recommend_from_history(everything[3:7], k=10)
    shop, shop_scores = rec.recommend(k=5, items=everything, exclude=found[:3].tolist())
    near, cosines = rec.similar_items(everything[5], k=5)
    why = rec.explain(None, found[0])
    losses, later_scores = [], []
    methods = json.load(open(bundle + "/manifest.json"))["methods"]
    if any(method["method"] == "finetune" for method in methods):
        report = learn(rec, epochs=2, seed=5, force=True)
        losses = [float(epoch.loss) for epoch in report.epochs] if report else []
        later_scores = rec.recommend(k=10)[1].tolist()
    say(ids=[part.tolist() for part in (found, old, shop, near)], codebook=rec.state.codebook.tolist(),
        numbers=[*scores.tolist(), *old_scores.tolist(), *shop_scores.tolist(), *cosines.tolist(),
                 *sorted(why.shares), *losses, *later_scores, *np.ravel(rec.state.step).tolist()])
"""


def test_answers_are_those_of_this_machine(personal: Device, personal_here: Device) -> None:
    found, expected = (place.script(PRELUDE + ANSWERS).json() for place in (personal, personal_here))
    numbers = expected.pop("numbers")
    assert found.pop("numbers") == pytest.approx(numbers, rel=RELATIVE, abs=RELATIVE * np.abs(numbers).max())
    assert found == expected
