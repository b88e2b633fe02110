"""The Android example: every call compiles, and what of it needs no ExecuTorch runs on this machine's Java.

The calls of ExecuTorch are compiled against `tests/android/org`, which declares what its own sources declare.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from _pair_reference import VECTOR, VECTOR_ITEMS, VECTOR_USERS
from _tiny import tiny_model, write_tiny

from lerg_edge.codes.quantiser import quantise
from lerg_runtime.bundle import BundleFolder, pack
from lerg_runtime.bundle.parts import array_bytes, encode_interactions

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE, DECLARED = ROOT / "examples" / "android", ROOT / "tests" / "android"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example compiled for Java 8, which Android takes, warnings being errors."""
    if shutil.which("javac") is None and not os.environ.get("CI"):
        pytest.skip("javac is not installed: apt-get install default-jdk-headless")
    folder = tmp_path_factory.mktemp("classes")
    sources = [*sorted(EXAMPLE.glob("*.java")), *sorted(DECLARED.glob("*.java"))]
    javac = ["javac", "-Xlint:all,-options", "-Werror", "--release", "8", "-sourcepath", str(DECLARED)]
    done = subprocess.run([*javac, "-d", str(folder), *map(str, sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("bits", "per_row", "ids"),
    [(4, True, "text"), (8, False, "integer"), (16, False, "text"), (32, False, "text")],
)
def test_java_reads_a_bundle_and_writes_a_state_that_python_reads(
    classes: Path, tmp_path: Path, bits: int, per_row: bool, ids: str
) -> None:
    model = tiny_model(bits=bits, per_row=per_row)
    folder = write_tiny(tmp_path / "bundle", model, ids=ids)
    rng = np.random.default_rng(bits)
    # Weights beyond what the integers hold, too.
    step = (model.step * rng.uniform(0.5, 1.5, model.step.shape)).astype(np.float32)
    if bits == 32:
        step = np.ones(1, np.float32)
    weights = (rng.normal(size=model.codebook.shape) * step.mean() * (1 << min(bits, 16) - 1)).astype(
        np.float32
    )
    (tmp_path / "weights").write_bytes(weights.tobytes() + step.tobytes())
    (folder / "state.bin.new").write_bytes(b"left by a power cut")
    done = subprocess.run(
        [
            "java",
            "-cp",
            str(classes),
            "Roundtrip",
            str(folder),
            str(bits),
            str(tmp_path / "weights"),
            str(len(step)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    user_slots, item_slots, degrees = (
        np.array(line.strip("[]").split(","), dtype=int) for line in done.stdout.strip().splitlines()
    )
    np.testing.assert_array_equal(user_slots, model.slots("user"))
    np.testing.assert_array_equal(item_slots, model.slots("item"))
    np.testing.assert_array_equal(degrees, model.seen().sum(axis=0))
    state = BundleFolder.open(folder).read_state()
    codes = weights if bits == 32 else quantise(weights, step, bits=bits)
    np.testing.assert_array_equal(state.codebook, pack(codes, bits=bits))
    np.testing.assert_array_equal(state.step, step)
    assert state.generation == 1
    assert sorted(path.name for path in folder.iterdir() if "state" in path.name) == ["state.bin"]


def test_java_decodes_what_is_coded(classes: Path, tmp_path: Path) -> None:
    """By another decoder than this project's, written after the specification alone."""
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.integers(0, 3, 3000))
    text = np.frombuffer(" ".join(f"item-{n:05d}" for n in walk).encode(), np.uint8)
    arrays = {
        "text": text,
        "near": walk.astype(np.int64),
        "alone": np.minimum(rng.geometric(0.3, 3000), 255).astype(np.uint8),
        "wide": (rng.geometric(0.01, 3000) - 50).astype(np.int16),
        "bits": rng.random(3000) < 0.02,
        "plain": rng.normal(size=(5, 7)).astype(np.float32),
    }
    # Enough pairs for a code of several parts.
    users, items = np.divmod(np.unique(rng.integers(0, 700 * 900, 220_000)), 900)
    pairs = encode_interactions(users, items, user_count=700, item_count=900)
    assert pairs[12] > 1
    arrays["pairs"] = pairs
    stored = array_bytes(arrays, as_they_are=("pairs",))
    assert len(stored) < 0.6 * sum(array.nbytes for name, array in arrays.items() if name != "pairs") + len(
        pairs
    )
    (tmp_path / "file").write_bytes(stored)
    done = subprocess.run(
        ["java", "-cp", str(classes), "Decode", str(tmp_path / "file")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *lines, rows, columns = done.stdout.splitlines()
    found = {line.split()[0]: line.split()[2] for line in lines}
    assert found == {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    for line, ends, count in ((rows, users, 700), (columns, items, 900)):
        np.testing.assert_array_equal(
            np.array(line.strip("[]").split(","), dtype=int), np.bincount(ends, minlength=count)
        )


def test_java_decodes_the_vector_of_pairs(classes: Path, tmp_path: Path) -> None:
    pairs = np.frombuffer(bytes.fromhex(VECTOR), np.uint8)
    (tmp_path / "file").write_bytes(array_bytes({"pairs": pairs}, as_they_are=("pairs",)))
    done = subprocess.run(
        ["java", "-cp", str(classes), "Decode", str(tmp_path / "file")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    _, rows, columns = done.stdout.splitlines()
    assert (rows, columns) == (
        str(np.bincount(VECTOR_USERS).tolist()),
        str(np.bincount(VECTOR_ITEMS).tolist()),
    )


def test_java_refuses_a_damaged_state(classes: Path, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "bundle", tiny_model())
    content = bytearray((folder / "state.bin").read_bytes())
    content[-1] ^= 1
    (folder / "state.bin").write_bytes(content)
    done = subprocess.run(
        ["java", "-cp", str(classes), "Roundtrip", str(folder), "8", "weights", "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "state.bin is damaged" in done.stderr
    assert (folder / "state.bin").read_bytes() == content


def test_the_documentation_quotes_the_example() -> None:
    text = (ROOT / "docs" / "android.md").read_text(encoding="utf-8")
    assert "not been run on Android" in text.splitlines()[2]
    example = [line.strip() for path in EXAMPLE.glob("*.java") for line in path.read_text().splitlines()]
    blocks = re.findall(r"```java\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        lines = [line.strip() for line in block.strip().splitlines()]
        starts = [i for i, line in enumerate(example) if line == lines[0]]
        assert any(example[i : i + len(lines)] == lines for i in starts), block
