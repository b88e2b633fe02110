"""A personal bundle learns from its own history: by its programs, within its budget, and not for ever."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _person import CODINGS, MAX_HISTORY, PersonBundle, write_person
from _shell import Shell

from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.personal.coded_items import CodedItems
from lerg_edge.personal.coding import Coding
from lerg_runtime import BudgetError, BundleError, InputError, LergRuntimeError, Recommender
from lerg_runtime.bundle import BundleFolder, pack, save_state
from lerg_runtime.golden import check_golden
from lerg_runtime.serving._personal import PersonalBundle

pytestmark = pytest.mark.native

KINDS = [
    ("rows", "native"),
    ("rows of 4 bits", "portable"),
    ("product", "native"),
    ("product", "portable"),
    ("folded", "native"),
    ("folded", "portable"),
]
HISTORY = [3, 70, 12, 41, 66, 5, 8]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: ", ".join(kind))
def every(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    """One of each kind, only read."""
    coding, lowering = request.param
    folder = tmp_path_factory.mktemp("person") / "bundle"
    return write_person(folder, coding, lowering=lowering, learns=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    return write_person(tmp_path_factory.mktemp("person") / "bundle", "product", learns=True)


@pytest.fixture
def person(made: PersonBundle, tmp_path: Path) -> PersonBundle:
    """A bundle with a history, which the test may change."""
    shutil.copytree(made.folder, tmp_path / "bundle")
    copied = replace(made, folder=tmp_path / "bundle")
    with Recommender.open(copied.folder) as recommender:
        recommender.observe([copied.ids[item] for item in HISTORY], when=1_000)
        recommender.save()
    return copied


def test_its_programs_answer_as_they_did_where_they_were_made(every: PersonBundle) -> None:
    assert check_golden(every.folder) == {"encode": (), "finetune": (), "recommend": ()}


def rows_of(items: CodedItems, codebook: np.ndarray) -> np.ndarray:
    """Rows of all slots, float64 [S, d], by the page on the format."""
    if items.kind == "rows":
        return codebook
    codes = items.parts.codes
    if isinstance(items.parts, FoldedRows):
        scales = items.parts.scale_table[items.parts.scales].astype(np.float64)
        weights = items.parts.weights * scales[:, None]
        return np.einsum("sk,skd->sd", weights, codebook[codes])
    blocks = codebook.reshape(len(codebook), items.width, -1)
    return np.concatenate([blocks[codes[:, block], block] for block in range(items.width)], axis=1)


def test_loss_and_gradient_are_those_of_the_definition(every: PersonBundle) -> None:
    """BPR in float64 over rows put together anew, and its slope by differences of the quantised codebook."""
    random, items = np.random.default_rng(1), every.model.items
    slots, batch, count = items.item_count, 9, 6
    positives, negatives, history = (random.integers(0, slots, size) for size in (batch, batch, count))
    weights = random.normal(size=(batch, count)).astype(np.float32) / 4
    half = random.normal(size=(items.dim, items.dim)).astype(np.float32) / 4
    metric = half + half.T
    integers = items.integers().astype(np.float64)
    steps = np.broadcast_to(items.step.reshape(-1, 1), (len(integers), 1)).astype(np.float64)

    def loss_of(codebook: np.ndarray) -> float:
        rows = rows_of(items, codebook)
        asked = weights @ rows[history] @ metric
        margin = (asked * (rows[negatives] - rows[positives])).sum(1)
        return float(np.logaddexp(0, margin).mean())

    with Recommender.open(every.folder) as recommender:
        engine = recommender._personal.engine
        # A tenth of a step off the grid, so that rounding is no tie and clipping none either.
        latent = (np.clip(integers, -6, 6) * steps + 0.1 * steps).astype(np.float32)
        step = items.step.astype(np.float32).reshape(-1).copy()
        method = engine.load("finetune", parameters={"codebook": latent, "step": step})
        loss, gradient = method.execute(positives, negatives, history, weights, metric)[:2]
    grid = np.clip(integers, -6, 6) * steps
    assert float(loss) == pytest.approx(loss_of(grid), rel=1e-4)
    flat = np.argsort(-np.abs(gradient).ravel())[:: max(1, gradient.size // 20)][:12]
    for row, column in zip(*np.unravel_index(flat, gradient.shape), strict=True):
        moved = [grid.copy(), grid.copy()]
        moved[0][row, column] += 1e-4
        moved[1][row, column] -= 1e-4
        slope = (loss_of(moved[0]) - loss_of(moved[1])) / 2e-4
        assert gradient[row, column] == pytest.approx(slope, rel=1e-2, abs=2e-5)


@pytest.mark.parametrize("coding", ["product", "folded"])
@pytest.mark.parametrize("lowering", ["native", "portable"])
def test_codes_of_two_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coding: str, lowering: str
) -> None:
    import _person

    monkeypatch.setattr(_person, "OWN", 395)
    monkeypatch.setattr(_person, "ITEMS", 420)
    monkeypatch.setitem(CODINGS, "wide", Coding(coding, 8, 4, 300))
    person = write_person(tmp_path / "bundle", "wide", lowering=lowering, learns=True)
    assert len(person.model.items.codebook) == 300
    assert not any(check_golden(person.folder).values())


def test_what_was_learned_is_ranked_by_saved_and_read(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        before = np.asarray(recommender.score(None, person.ids))
        report = recommender.finetune(epochs=20, learning_rate=0.05, force=True)
        after = np.asarray(recommender.score(None, person.ids))
        recommender.save()
    assert report.losses[-1] < 0.5 * report.losses[0]
    assert (report.known_interactions, report.new_interactions) == (len(HISTORY), 0)
    assert 0 < report.moved <= report.elements
    # Items of the history have come closer to what the history asks for.
    spread = before.std(), after.std()
    assert after[HISTORY].mean() / spread[1] > before[HISTORY].mean() / spread[0]
    with Recommender.open(person.folder) as recommender:
        assert np.asarray(recommender.score(None, person.ids)).tobytes() == after.tobytes()
        again = recommender.finetune(epochs=1, learning_rate=1e-4, force=True)
        assert again.losses[0] < report.losses[0]


def test_the_same_seed_learns_the_same(person: PersonBundle) -> None:
    states = []
    for seed in (1, 1, 2):
        with Recommender.open(person.folder) as recommender:
            recommender.finetune(epochs=2, seed=seed, force=True)
            states.append(recommender.state)
    assert states[0].codebook.tobytes() == states[1].codebook.tobytes()
    assert states[0].remainder.tobytes() == states[1].remainder.tobytes()
    assert states[0].remainder.tobytes() != states[2].remainder.tobytes()


def test_erasing_brings_back_what_was_shipped(made: PersonBundle, person: PersonBundle) -> None:
    shipped = (made.folder / "state.bin").read_bytes()
    with Recommender.open(person.folder) as recommender:
        recommender.finetune(epochs=5, learning_rate=0.05, force=True)
        recommender.save()
    with Recommender.open(person.folder) as recommender:
        recommender.finetune(epochs=5, learning_rate=0.05, force=True)
        recommender.erase()
        known = [person.ids[item] for item in HISTORY]
        found = recommender.recommend_from_history(known, k=8)[0].tolist()
    assert found == person.wanted(HISTORY, barred=HISTORY, k=8)[0]
    fresh = BundleFolder.open(person.folder)
    save_state(person.folder, replace(fresh.read_state(), generation=0), digest=fresh.digest)
    assert (person.folder / "state.bin").read_bytes() == shipped


def test_what_does_harm_is_taken_back(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        before, scores = recommender.state, np.asarray(recommender.score(None, person.ids))
        with pytest.raises(LergRuntimeError, match=r"made it worse|cannot be stored|the loss is"):
            recommender.finetune(learning_rate=1e3, epochs=3)
        after = recommender.state
        assert after.codebook.tobytes() == before.codebook.tobytes()
        assert len(after.exported_step) == 0
        assert np.asarray(recommender.score(None, person.ids)).tobytes() == scores.tobytes()


def test_what_ranks_held_out_items_lower_is_taken_back(
    person: PersonBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recommender.open(person.folder) as recommender:
        before = recommender.state
        places = iter((np.log2(1 + 4.0), np.log2(1 + 9.0)))
        monkeypatch.setattr(PersonalBundle, "distance", lambda *arguments: next(places))
        with pytest.raises(LergRuntimeError, match=r"the latest 1 items .* rank at 9, not at 4, so"):
            recommender.finetune(epochs=2)
        after = recommender.state
        assert after.codebook.tobytes() == before.codebook.tobytes()
        assert (len(after.exported_step), len(after.remainder)) == (0, 0)
        places = iter((3.0, 3.04))
        recommender.finetune(epochs=2)
        places = iter((3.0,))
        recommender.finetune(epochs=2, force=True)


def test_the_distance_of_held_out_items_is_their_rank_among_what_is_left(person: PersonBundle) -> None:
    ranked, scores = person.wanted(HISTORY, barred=HISTORY, k=80)
    places = [2, 6, 20]
    late, others = [person.ids.index(ranked[place]) for place in places], np.delete(scores, places)
    ranks = np.array([1 + (others > scores[place]).sum() for place in places])
    with Recommender.open(person.folder) as recommender:
        found = recommender._personal.distance(np.array(HISTORY), np.array(late))
    assert found == pytest.approx(np.log2(1 + ranks).mean(), rel=1e-3)


def test_a_callback_ends_it_and_may_ask(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        before = recommender.recommend(k=5)[0].tolist()
        seen = []

        def on_epoch(report: object) -> bool:
            seen.append(recommender.recommend(k=5)[0].tolist())
            return False

        report = recommender.finetune(epochs=9, learning_rate=0.05, force=True, on_epoch=on_epoch)
        assert (len(report.epochs), report.stopped, seen) == (1, True, [before])


def test_the_plan_is_enough_and_no_byte_too_many(person: PersonBundle) -> None:
    with Recommender.open(person.folder) as recommender:
        plan = recommender.plan()
    least = plan.peak_bytes
    assert least == max(plan.phase(name).total_bytes for name in ("finetune", "compare"))
    with Recommender.open(person.folder, memory_budget=least) as recommender:
        recommender.finetune(epochs=2, force=True)
        assert recommender.memory[1] <= least
        recommender.recommend(k=5)
        learned = recommender.plan()
        recommender.save()
    for phase in ("encode", "recommend"):
        assert learned.phase(phase).total_bytes > plan.phase(phase).total_bytes, "both codebooks stay"
    smallest = max(learned.phase(name).total_bytes for name in ("open", "encode", "recommend"))
    with Recommender.open(person.folder, memory_budget=smallest) as recommender:
        recommender.recommend(k=5)
        with pytest.raises(BudgetError, match="fine-tuning needs"):
            recommender.finetune()
    with pytest.raises(BudgetError):
        Recommender.open(person.folder, memory_budget=smallest - 1)


def test_what_cannot_be_learned_from(person: PersonBundle, tmp_path: Path) -> None:
    with Recommender.open(person.folder) as recommender:
        with pytest.raises(InputError, match=r"is a personal bundle, .* leave interactions out"):
            recommender.finetune([("anna", person.ids[0])])
        with pytest.raises(InputError, match=r"is a personal bundle, .* leave replay out"):
            recommender.finetune(replay=3)
        with pytest.raises(InputError, match="batch is 129; this bundle's program takes up to 128"):
            recommender.finetune(batch=129)
        recommender.forget([person.ids[item] for item in HISTORY[2:]])
        with pytest.raises(InputError, match="the history has 2 items and learning takes 3"):
            recommender.finetune()
    plain = write_person(tmp_path / "plain")
    with Recommender.open(plain.folder) as recommender:
        recommender.observe(plain.ids[:MAX_HISTORY])
        with pytest.raises(InputError, match="export it with --personal --finetune"):
            recommender.finetune()


def test_a_state_that_cannot_be_is_refused(person: PersonBundle) -> None:
    folder = BundleFolder.open(person.folder)
    state = folder.read_state()
    low = replace(state, exported_codebook=state.codebook, exported_step=-state.step)
    save_state(person.folder, low, digest=folder.digest)
    with pytest.raises(BundleError, match="step must be finite and above 0"):
        Recommender.open(person.folder)


def test_the_command(shell: Shell, person: PersonBundle, tmp_path: Path) -> None:
    told = shell.json("finetune", person.folder, "--epochs", 2, "--force")
    assert told["known_interactions"] == len(HISTORY)
    assert len(told["losses"]) == 2
    assert shell.json("info", person.folder)["state"] == {
        "saves": 2,
        "history": len(HISTORY),
        "learned": True,
        "added_items": 0,
    }
    assert "7 items of the history" in shell("finetune", person.folder, "--epochs", 1, "--force")[1]
    path = tmp_path / "new.csv"
    path.write_text("user,item\nanna,item-01\n")
    status, _, error = shell("finetune", person.folder, "--interactions", path)
    assert (status, "leave --interactions out" in error) == (2, True)


STOCK = """
import json, sys
import numpy as np, torch
from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer
from executorch.extension.training import TrainingModule, get_sgd_optimizer

folder, inputs, outputs = sys.argv[1:4]
given = {name: torch.from_numpy(array) for name, array in np.load(inputs).items()}
program, weights = (open(f"{folder}/model.{kind}", "rb").read() for kind in ("pte", "ptd"))
module, optimiser, losses = TrainingModule(_load_for_executorch_from_buffer(program, weights)), None, []
batch = [given[name] for name in ("positives", "negatives", "history", "weights", "metric")]
for _ in range(3):
    (loss,) = module.forward_backward("finetune", batch)
    losses.append(loss.item())
    optimiser = optimiser or get_sgd_optimizer(module.named_parameters(), lr=0.5)
    optimiser.step(module.named_gradients())
np.savez(outputs, losses=losses, **{name: value.numpy() for name, value in module.named_parameters().items()})
print(json.dumps(sorted(name for name in sys.modules if name.startswith("lerg"))))
"""


@pytest.mark.parametrize("coding", ["rows of 4 bits", "product", "folded"])
def test_stock_executorch_trains_the_portable_one(coding: str, tmp_path: Path) -> None:
    """With its own TrainingModule and SGD, as our runtime and our SGD do."""
    from lerg_runtime import _native

    person = write_person(tmp_path / "bundle", coding, lowering="portable", learns=True)
    random, items = np.random.default_rng(2), person.model.items
    batch = {
        "positives": random.integers(0, items.item_count, 5),
        "negatives": random.integers(0, items.item_count, 5),
        "history": random.integers(0, items.item_count, 4),
        "weights": random.random((5, 4)).astype(np.float32),
        "metric": np.eye(items.dim, dtype=np.float32),
    }
    np.savez(tmp_path / "inputs.npz", **batch)
    command = [sys.executable, "-c", STOCK, person.folder, tmp_path / "inputs.npz", tmp_path / "outputs.npz"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == []
    packed = pack(items.integers(), bits=items.bits)
    latent, step = (
        np.empty(items.codebook.shape, np.float32),
        items.step.astype(np.float32).reshape(-1).copy(),
    )
    _native.dequantise(packed, step, items.bits, latent)
    losses = []
    with Recommender.open(person.folder) as recommender:
        method = recommender._personal.engine.load("finetune", parameters={"codebook": latent, "step": step})
        for _ in range(3):
            loss, *gradients = method.execute(*batch.values())
            losses.append(float(loss))
            for value, gradient in zip((latent, step), gradients[:2], strict=True):
                _native.sgd_step(value, gradient, None, learning_rate=0.5, momentum=0.0)
    with np.load(tmp_path / "outputs.npz") as found:
        assert found["losses"] == pytest.approx(losses, rel=1e-5)
        assert losses[0] > losses[-1]
        np.testing.assert_allclose(found["codebook"], latent, atol=1e-6)
        np.testing.assert_allclose(found["step"], step, rtol=1e-5)
