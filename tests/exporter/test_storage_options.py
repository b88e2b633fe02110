"""Bundles with float16 layers and int8 item tables, from the option to what `inspect` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from traced import built

from lerg_edge.errors import InputError
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_exporter.bundles.inspection import inspect_bundle
from lerg_exporter.bundles.verification import verify_bundle
from lerg_exporter.bundles.write import draft_bundle
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.programs import trace as programs
from lerg_exporter.programs.choice import methods_of
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.golden import check_golden

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def small() -> Path:
    return built(epochs=1, finetune_epochs=1, item_table="int8", layer_storage="float16")


def test_an_export_with_both_verifies_and_says_so(small: Path) -> None:
    assert set(verify_bundle(small).programs) == {"encode", "finetune", "recommend"}
    model = inspect_bundle(small)["model"]
    assert (model["item_table"], model["layer_storage"]) == ("int8", "float16")
    with Recommender.open(small) as rec:
        assert rec.manifest.model.layer_storage == "float16"
        report = rec.finetune(epochs=4, learning_rate=0.1)
        assert report.losses[-1] < 0.9 * report.losses[0]
        assert len(rec.recommend(rec.user_ids.take(np.arange(1)).tolist()[0], k=20)[0]) == 20


def test_golden_examples_allow_for_halves_and_no_more(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = BundleFolder.read_golden

    def altered(self: BundleFolder) -> dict[str, np.ndarray]:
        golden = read(self)
        table = golden["encode.out.user_table"].copy()
        table[5] += 0.005 * np.abs(table).max()
        return golden | {"encode.out.user_table": table}

    monkeypatch.setattr(BundleFolder, "read_golden", altered)
    assert len(check_golden(small)["encode"]) == 1


def test_float16_layers_take_less_scratch(make_model: Callable[..., RewiredModel]) -> None:
    model = make_model(
        users=900, items=700, kept_users=600, kept_items=500, edges=4000, dim=128, codebook_rows=40
    )
    drafts = [
        draft_bundle(model, ProgramLimits(max_batch=32, layer_storage=storage), with_golden=False)
        for storage in ("float32", "float16")
    ]
    whole, half = (draft.footprints["encode"].scratch_bytes for draft in drafts)
    assert whole - half == pytest.approx((600 + 500) * 64 * 2, abs=256)


@pytest.mark.parametrize("name", ["item_table", "layer_storage"])
def test_other_types_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        ProgramLimits(**{name: "float8"})
    with pytest.raises(InputError, match=f"{name} is float8"):
        ExportOptions(**{name: "float8"})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"layer_storage": "float16", "propagation": "folded"},
            "layer_storage=float16 needs lowering=native and propagation=graph",
        ),
        (
            {"layer_storage": "float16", "lowering": "portable"},
            "layer_storage=float16 needs lowering=native and propagation=graph",
        ),
        ({"item_table": "int8", "lowering": "portable"}, "item_table=int8 needs lowering=native"),
    ],
)
def test_storages_that_programs_have_not_are_refused_before_training(
    given: dict[str, str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        ExportOptions(**given)


def test_folded_programs_take_int8_items_and_no_layers(
    make_model: Callable[..., RewiredModel],
) -> None:
    model = make_model(entries=4)
    program = programs.trace(methods_of(model, ProgramLimits(max_batch=8, item_table="int8")))
    encode = next(plan for plan in program.plans if plan.method == "encode")
    assert [(spec.name, spec.dtype) for spec in encode.outputs] == [
        ("user_table", "float32"),
        ("item_codes", "int8"),
        ("item_scales", "float32"),
    ]
    with pytest.raises(InputError, match="layer_storage=float16 needs"):
        methods_of(model, ProgramLimits(max_batch=8, layer_storage="float16"))
