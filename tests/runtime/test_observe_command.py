"""`lerg-edge observe`, and the other commands on a personal bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from _person import PersonBundle, write_person

from lerg_runtime import Recommender
from lerg_runtime.cli._main import run

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PersonBundle:
    return write_person(tmp_path_factory.mktemp("person") / "bundle")


@pytest.fixture
def bundle(made: PersonBundle, tmp_path: Path) -> str:
    shutil.copytree(made.folder, tmp_path / "bundle")
    return str(tmp_path / "bundle")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """What a command prints as JSON."""
    assert run([*arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert run(list(arguments)) == status
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    return sentence


def test_observing_changes_what_is_recommended(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "observe", bundle, "--item", "item-03", "--item", "item-70") == {
        "observed": 2,
        "skipped": 0,
        "history": 2,
    }
    found = told(capsys, "recommend", bundle, "-k", "5")
    with Recommender.open(bundle) as recommender:
        items, _ = recommender.recommend_from_history(["item-03", "item-70"], k=5)
    assert [entry["item"] for entry in found["users"][0]["items"]] == items.tolist()  # type: ignore[index]
    told(capsys, "observe", bundle, "--forget", "item-70", "--item", "item-05", "--when", "2020-01-01T00:00")
    with Recommender.open(bundle) as recommender:
        history = recommender.history()
    assert [item for item, _ in history] == ["item-05", "item-03"]
    assert history[0][1] == 1_577_836_800


def test_lists_of_items_are_held_to(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "observe", bundle, "--item", "item-03")
    arguments = ("--items", "item-01,item-02,item-09", "--exclude", "item-09")
    found = told(capsys, "recommend", bundle, *arguments)
    items = {entry["item"] for entry in found["users"][0]["items"]}  # type: ignore[index]
    assert items == {"item-01", "item-02"}


def test_erasing_and_skipping(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "observe", bundle, "--item", "item-03")
    assert told(capsys, "observe", bundle, "--erase") == {"observed": 0, "skipped": 0, "history": 0}
    found = told(capsys, "observe", bundle, "--item", "item-03", "--item", "none", "--skip-unknown")
    assert found == {"observed": 1, "skipped": 1, "history": 1}


def test_what_cannot_be_is_one_sentence(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "history is empty" in refused(capsys, 2, "recommend", bundle)
    assert "no item 'none'" in refused(capsys, 2, "observe", bundle, "--item", "none")
    assert "--when is 'soon'" in refused(capsys, 2, "observe", bundle, "--item", "item-03", "--when", "soon")
    assert "give --item" in refused(capsys, 2, "observe", bundle)
    assert "--when goes with" in refused(capsys, 2, "observe", bundle, "--erase", "--when", "5")
    assert "personal bundle" in refused(capsys, 2, "recommend", bundle, "--user", "alice")


def test_info_tells_the_form_and_a_budget_that_is_enough(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, "info", bundle)
    assert found["form"] == "personal"
    assert found["state"] == {"saves": 0, "history": 0, "learned": False, "added_items": 0}
    peak = found["memory"]["peak_bytes"]  # type: ignore[index]
    told(capsys, "observe", bundle, "--item", "item-03")
    told(capsys, "recommend", bundle, "--memory-budget", str(peak))
    assert "needs" in refused(capsys, 3, "recommend", bundle, "--memory-budget", str(peak - 1))
    assert run(["info", bundle]) == 0
    shown = capsys.readouterr().out
    assert "personal" in shown
    assert "1 items of at most 12" in shown
