"""`lerg-export inspect --card`: what it says is so, and nothing of a stranger's manifest is markup in it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from lerg_exporter import inspect_bundle
from lerg_exporter.bundles.card import model_card
from lerg_exporter.cli import main
from lerg_runtime import Recommender
from lerg_runtime.planning import MemoryPlan
from lerg_runtime.sizes import format_size

pytestmark = pytest.mark.native


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


def row(card: str, title: str) -> list[str]:
    """The cells of a row of one of its tables."""
    found = [line for line in card.splitlines() if line.startswith(f"| {title} |")]
    assert len(found) == 1, title
    return [cell.strip() for cell in found[0].strip("|").split("|")][1:]


def test_the_card_says_what_the_bundle_is(capsys: pytest.CaptureFixture[str], exported: Path) -> None:
    status, card, _ = printed(capsys, "inspect", exported, "--card")
    assert status == 0
    found = inspect_bundle(exported)
    headings = re.findall(r"^## (.+)$", card, flags=re.M)
    assert headings == ["Data", "Accuracy", "What it takes", "What it discloses", "How it was made"]
    assert f"`{found['identity']}`" in card
    for title, stage in (("after fine-tuning", "finetuned"), ("after rewiring", "rewired")):
        metrics, spans = found["metrics"][stage], found["intervals"][stage]
        for cell, name in zip(row(card, title), ("ndcg@20", "recall@20"), strict=False):
            low, high = spans[name]
            assert low < metrics[name] < high
            assert cell == f"{metrics[name]:.4f} [{low:.4f}, {high:.4f}]"
    assert row(card, "before pruning")[0] == f"{found['metrics']['before_pruning']['ndcg@20']:.4f}"
    assert row(card, "the bundle, all files")[0] == f"{sum(found['files'].values()):,}"
    with Recommender.open(exported) as recommender:
        plan: MemoryPlan = recommender.plan()
    for phase, title in (("recommend", "memory to recommend"), ("finetune", "memory to fine-tune")):
        assert row(card, title) == [format_size(plan.phase(phase).total_bytes)]
    assert "The ids of all 120 users." in card
    assert "The ids of all 90 items." in card
    assert "a share of 0.2 of each user's pairs" in card
    assert 'lowering = "native"' in card


def test_markup_of_a_manifest_is_text(exported: Path) -> None:
    found: dict[str, Any] = copy.deepcopy(inspect_bundle(exported))
    evil = "<script>alert(1)</script>](http://x)`|\n# Heading\x1b[2J"
    found["data"]["split"]["reason"] = evil
    found["versions"]["torch"] = evil
    found["training"]["config"]["note"] = f"```\n{evil}"
    card = model_card(found, name=evil)
    outside, inside = (
        re.sub(r"^```.*?^```$", "", card, flags=re.S | re.M),
        re.findall(r"^```", card, flags=re.M),
    )
    assert len(inside) == 2
    assert not re.search(r"(?<!\\)<", outside)
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert "\n# Heading" not in card
    assert "\x1b" not in card


def test_a_card_names_nobody(exported: Path) -> None:
    found: dict[str, Any] = copy.deepcopy(inspect_bundle(exported))
    found["training"]["config"]["keep_users"] = ["user-0003", "user-0004"]
    card = model_card(found, name="bundle")
    assert "user-0003" not in card
    assert "keep_users = []  # 2 in truth" in card


def test_a_bundle_may_say_little(exported: Path) -> None:
    found: dict[str, Any] = copy.deepcopy(inspect_bundle(exported))
    found.pop("intervals")
    found["data"], found["metrics"], found["training"] = {}, {}, {}
    found["titles"] = {"items": 7}
    card = model_card(found, name="bundle")
    assert "does not say what it was made from" in card
    assert "Nothing was measured" in card
    assert "titles of 7" in card
    assert "```" not in card


def test_a_card_is_no_object(capsys: pytest.CaptureFixture[str], exported: Path) -> None:
    status, out, err = printed(capsys, "inspect", exported, "--card", "--json")
    assert (status, out) == (2, "")
    assert "give one of them" in err
