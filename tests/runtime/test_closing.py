"""What is left of a bundle when nobody has it any more: nothing, and at once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _person import write_person

from lerg_runtime import Recommender
from lerg_runtime.engine._engine import Engine

USES: dict[str, Callable[[Recommender], object]] = {
    "nothing": lambda rec: None,
    "recommend": lambda rec: rec.recommend(rec.user_ids[0], k=3),
    "from a history": lambda rec: rec.recommend_from_history([rec.item_ids[0]], k=3),
    "similar": lambda rec: rec.similar_items(rec.item_ids[0], k=3),
    "explain": lambda rec: rec.explain(rec.user_ids[0], rec.item_ids[0]),
    "evaluate": lambda rec: rec.evaluate(_unseen(rec), k=3),
    "finetune": lambda rec: rec.finetune(_unseen(rec), epochs=1),
}


def _unseen(rec: Recommender) -> list[tuple[object, object]]:
    return [(user, rec.recommend(user, k=1)[0][0]) for user in rec.user_ids[:4]]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def engines() -> list[object]:
    """Whatever holds a budget and a program."""
    return [found for found in gc.get_objects() if type(found) is Engine]


@pytest.mark.parametrize("name", USES)
def test_a_bundle_is_freed_without_the_garbage_collector(
    name: str, tiny_bundle: Path, fake_native: None
) -> None:
    with Recommender.open(tiny_bundle) as rec:
        USES[name](rec)
        assert engines()
    del rec
    assert not engines()


def test_a_lease_keeps_its_bundle(tiny_bundle: Path, fake_native: None) -> None:
    with Recommender.open(tiny_bundle)._open.serving() as serving:
        assert serving.item_degrees.shape == (40,)
    del serving
    assert not engines()


@pytest.mark.native
def test_a_personal_bundle_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    made = write_person(tmp_path / "bundle")
    with Recommender.open(made.folder) as rec:
        rec.observe(made.ids[3])
        rec.recommend(k=3)
        assert engines()
    del rec
    assert not engines()
