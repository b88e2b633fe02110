"""An exported bundle: what it says of itself, that it verifies, and that its bytes repeat."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from traced import built

from lerg_exporter import build_bundle, inspect_bundle, verify_bundle
from lerg_exporter.bundles.anatomy import bundle_parts
from lerg_exporter.exporting.serving import OTHER_STAGE
from lerg_runtime import Recommender, _native
from lerg_runtime.bundle import BundleFolder
from lerg_runtime.bundle.parts import piece_sizes
from lerg_runtime.errors import BundleError
from lerg_runtime.golden import check_golden

pytestmark = pytest.mark.native


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.usefixtures("traced_anew")
def test_same_seed_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = build_bundle(tmp_path / "elsewhere", text_ids=True, finetune_epochs=1, pruned_users="auto")
    assert contents(again) == contents(exported)


def test_nothing_of_this_machine_is_in_it(exported: Path) -> None:
    for name, data in contents(exported).items():
        assert str(Path.home()).encode() not in data, name
        assert b"/tmp" not in data, name


def test_metrics_come_from_the_programs(exported: Path) -> None:
    from lerg_exporter.exporting.small_bundle import small_dataset
    from lerg_exporter.exporting.tuning import evaluate

    test = small_dataset(120, 90, 1_500, text_ids=True).test
    assert test is not None
    with Recommender.open(exported) as recommender:
        stated = recommender.manifest.document["metrics"]
        other = OTHER_STAGE[recommender.manifest.ways.pruned_users]
        assert set(stated) == {"before_pruning", "rewired", other, "finetuned"}
        assert evaluate(recommender, test) == stated["finetuned"]


def test_inspect_counts_every_byte(exported: Path) -> None:
    found = inspect_bundle(exported)
    sizes = {path.name: path.stat().st_size for path in exported.iterdir()}
    assert found["files"] == sizes
    assert found["storage"]["bundle_bytes"] == sum(sizes.values())
    assert found["storage"]["embedding_bytes"] == sum(found["storage"]["items"].values())
    assert found["storage"]["baseline_bytes"] == (120 + 90) * 128 * 4
    for program in found["programs"]:
        assert program["planned_bytes"] == sum(program["arena_bytes"]) + program["scratch_bytes"]
        assert program["operators"]
    assert set(found["versions"]) == {"lerg-edge", "executorch", "torch", "requires"}
    json.dumps(found, allow_nan=False)


def test_inspect_shows_where_each_byte_goes(exported: Path) -> None:
    found = inspect_bundle(exported)
    parts, shape = found["parts"], found["model"]
    for path in exported.iterdir():
        assert sum(parts[path.name].values()) == path.stat().st_size, path.name
        assert min(parts[path.name].values()) >= 0
        assert "the rest" not in parts[path.name]
    assert parts["manifest.json"].keys() >= {"methods", "model", "storage"}
    assert parts["SHA256SUMS"].keys() == {*parts} - {"SHA256SUMS", "state.bin"}
    assert parts["state.bin"].keys() >= {"codebook", "step", "own SHA-256"}
    # What the program must hold, counted from the model's sizes alone.
    program, constants = parts["program.arrays"], found["storage"]["constants"]
    assert constants["indices"] == shape["edges"]
    assert constants["indptr"] == 4 * (shape["retained_users"] + 1)
    assert constants["user_codes"] == shape["retained_users"] * shape["codes_per_entity"]
    assert constants["user_placeholders"] == shape["user_placeholders"] * shape["dim"] * shape["bits"] // 8
    assert 1000 < program["instructions and tensor descriptions"] < 100_000
    # The graph follows from the interactions, and what is stored of it is where it differs from them.
    assert not {"indices", "indptr"} & program.keys()
    for name in ("user_codes", "item_codes"):
        assert 0 < program[name] <= constants[name]
    assert program["places"] == 8 * (3 + sum(name.startswith("p0") for name in piece_sizes_of(exported)))


def piece_sizes_of(bundle: Path) -> dict[str, int]:
    return piece_sizes((bundle / "program.arrays").read_bytes())


def test_a_program_is_stored_without_its_graph(exported: Path) -> None:
    folder = BundleFolder.open(exported)
    constants = folder.manifest.document["storage"]["constants"]
    program = folder.read_program().tobytes()
    assert (exported / "program.arrays").stat().st_size < len(program) - constants["indices"]
    loaded = _native.Program("model.pte", _native.Budget(0), np.frombuffer(program, np.uint8))
    assert {"encode", "finetune", "recommend"} <= set(loaded.methods())


def test_parts_of_a_program_that_names_no_constants(exported: Path) -> None:
    files = {"model.pte": BundleFolder.open(exported).read_program().tobytes()}
    (parts,) = bundle_parts(files, constants={}).values()
    assert parts.keys() >= {"instructions and tensor descriptions", "constants and alignment"}
    assert sum(parts.values()) == len(files["model.pte"])
    for wrong in ({"x": 10**9}, {"x": -1}):
        assert bundle_parts(files, constants=wrong)["model.pte"] == parts
    assert bundle_parts({"model.pte": b"short"}, constants={}) == {"model.pte": {"the rest": 5}}


def test_planned_scratch_is_enough_for_every_size(exported: Path) -> None:
    with Recommender.open(exported) as recommender:
        users = recommender.user_ids.take(np.arange(8)).tolist()
        for count in (1, 3, 8):
            for k in (1, 32, 90):
                recommender.recommend(users[:count], k=k, include_seen=True)
        recommender.finetune(epochs=1, batch=256, learning_rate=1e-3)
        recommender.finetune(epochs=1, batch=2, learning_rate=1e-4)


def test_verify_accepts_what_was_exported(exported: Path) -> None:
    found = verify_bundle(exported)
    assert (found.users, found.items) == (120, 90)
    assert set(found.programs) == {"encode", "finetune", "recommend"}


def test_verify_finds_wrong_answers(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The golden outputs of another model: hashes are right, answers are not."""
    read = BundleFolder.read_golden

    def altered(self: BundleFolder) -> dict[str, np.ndarray]:
        golden = read(self)
        table = golden["encode.out.item_table"].copy()
        table[5] += 0.01 * np.abs(table).max()
        items = golden["recommend.out.items"].copy()
        items[0] += 1
        return golden | {"encode.out.item_table": table, "recommend.out.items": items}

    monkeypatch.setattr(BundleFolder, "read_golden", altered)
    problems = check_golden(exported)
    assert problems["finetune"] == ()
    assert len(problems["encode"]) == len(problems["recommend"]) == 1
    with pytest.raises(BundleError, match="item_table of encode"):
        verify_bundle(exported)


@pytest.mark.parametrize(
    "name", ["program.arrays", "golden.arrays", "manifest.json", "state.bin", "SHA256SUMS"]
)
def test_verify_finds_an_altered_file(exported: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(exported, tmp_path / "bundle")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(BundleError):
        verify_bundle(folder)


@pytest.mark.parametrize("bits", [4, 16])
def test_other_bit_widths_and_integer_ids(bits: int) -> None:
    folder = built(bits=bits, epochs=1)
    assert all(problems == () for problems in check_golden(folder).values())
    with Recommender.open(folder) as recommender:
        items, _ = recommender.recommend(7, k=5)
        assert items.dtype == np.int64
        assert recommender.manifest.model.bits == bits
