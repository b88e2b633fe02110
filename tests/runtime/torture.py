"""Kills, failing disks, flipped bits and shortened files: whatever happens, nothing is lost and nothing lies.

    python tests/runtime/torture.py FOLDER --kills 1000 --faults 48 --flips 10000 --truncations 1000

prints one JSON object with what was tried, or fails with the first thing that is not as it must be. It runs
itself once more with `faultshim.c` preloaded, and forks a process for each kill and each fault.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _oracles import parts, reseal
from _tiny import tiny_model, write_tiny

from lerg_runtime.bundle import BundleFolder, State, copy_bundle, save_state, write_bundle
from lerg_runtime.errors import BundleError, UnsyncedError

KILL_BEFORE, KILL_AFTER, FULL, BROKEN, SHORT = range(1, 6)
SAVED, REFUSED, UNSYNCED = 0, 3, 4


def preloaded(folder: Path, arguments: list[str]) -> dict[str, int]:
    """Build the shim, run this file with it in a process of its own, and give what that counted."""
    shim = folder / "faultshim.so"
    source = Path(__file__).with_name("faultshim.c")
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, __file__, folder, "--shim", shim, *arguments],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise AssertionError(done.stderr[-4000:])
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


class Trial:
    """One bundle and the three ways of writing: saving in place, a copy, and replacing a whole bundle."""

    def __init__(self, folder: Path, shim: ctypes.CDLL) -> None:
        self.folder, self.shim = folder, shim
        self.bundle = BundleFolder.open(write_tiny(folder / "bundle", tiny_model()))
        self.copy, self.whole = folder / "copy", folder / "whole"
        write_bundle(self.whole, **parts(tiny_model()))
        self.names = sorted(path.name for path in folder.iterdir())

    def state(self) -> State:
        return BundleFolder.open(self.bundle.path).read_state()

    def save(self) -> None:
        now = self.state()
        later = State(now.codebook, now.step, now.users, now.items, generation=now.generation + 1)
        save_state(self.bundle.path, later, digest=self.bundle.digest)

    def copied(self) -> None:
        copy_bundle(self.bundle, self.copy, self.state())

    def replaced(self) -> None:
        write_bundle(self.whole, **parts(tiny_model()), overwrite=True)

    def steps(self, work: Callable[[], None]) -> int:
        """How many calls of `work` reach the disk."""
        self.shim.fault_arm(0, -1)
        work()
        return int(self.shim.fault_disarm())

    def run(self, work: Callable[[], None], target: Path, kind: int, nth: int) -> int:
        """Do `work` in a child with a fault; its outcome, or minus the number of the signal that ended it."""
        child = os.fork()
        if child == 0:
            status = 99
            try:
                self.shim.fault_arm(kind, nth)
                work()
                status = SAVED
            except UnsyncedError:
                status = UNSYNCED
            except OSError as error:
                status = REFUSED if str(error.filename) == str(target) else 98
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def leftovers(self) -> list[str]:
        return [path.name for path in self.folder.rglob(".*") if path.name.startswith(".")]


def writes(trial: Trial, *, kinds: tuple[int, ...], count: int, seed: random.Random) -> Counter[str]:
    """`count` kills or faults, spread over the ways of writing and their calls."""
    ways = {
        "save": (trial.save, trial.bundle.path / "state.bin"),
        "copy": (trial.copied, trial.copy),
        "replace": (trial.replaced, trial.whole),
    }
    steps = {}
    for name, (work, _) in ways.items():
        steps[name] = trial.steps(work)
        shutil.rmtree(trial.copy, ignore_errors=True)
    places = [(name, nth, kind) for name in ways for nth in range(steps[name]) for kind in kinds]
    seed.shuffle(places)
    told: Counter[str] = Counter()
    for number in range(count):
        name, nth, kind = places[number % len(places)]
        work, target = ways[name]
        before = trial.state().generation
        outcome = trial.run(work, target, kind, nth)
        where = f"{name}, call {nth} of {steps[name]}, kind {kind}: {outcome}"
        assert outcome in (SAVED, REFUSED, UNSYNCED, -signal.SIGKILL), where
        told[f"{name} {'killed' if outcome < 0 else ('saved', '', '', 'refused', 'unsynced')[outcome]}"] += 1
        check(trial, name, outcome, before, where)
        shutil.rmtree(trial.copy, ignore_errors=True)
        work()  # what comes next removes what a dead process left
        assert not trial.leftovers(), f"{where}: left {trial.leftovers()}"
        shutil.rmtree(trial.copy, ignore_errors=True)
    return told


def check(trial: Trial, name: str, outcome: int, before: int, where: str) -> None:
    """What is there is the old or the new, whole, and what was reported is true."""
    if outcome >= 0 and name != "replace":
        assert not trial.leftovers(), f"{where}: left {trial.leftovers()}"
    done = outcome in (SAVED, UNSYNCED)
    if name == "save":
        found = trial.state().generation - before
        assert found in (0, 1), where
        assert outcome < 0 or found == done, where
    elif name == "copy":
        assert outcome < 0 or trial.copy.exists() == done, where
        if trial.copy.exists():
            assert BundleFolder.open(trial.copy).read_state().generation == before, where
    else:
        places = [path for path in trial.folder.glob("*whole*") if (path / "SHA256SUMS").exists()]
        whole = [path for path in places if opens(path)]
        assert whole, where
        assert outcome < 0 or trial.whole in whole, where


def opens(path: Path) -> bool:
    try:
        BundleFolder.open(path).read_state()
    except BundleError:
        return False
    return True


def read_all(path: Path) -> None:
    folder = BundleFolder.open(path)
    folder.stored_sizes()
    folder.read_entities()
    folder.read_seen_only(folder.read_interactions())
    folder.read_golden()
    folder.read_program()
    folder.read_state()


def damages(folder: Path, *, flips: int, truncations: int, seed: random.Random) -> Counter[str]:
    """Every flip and every cut is found; with hashes made right it is found or harmless."""
    bundle = write_tiny(folder / "damaged", tiny_model())
    reseal(bundle)
    files = sorted(path.name for path in bundle.iterdir())
    whole = {name: (bundle / name).read_bytes() for name in files}
    told: Counter[str] = Counter()
    for number in range(flips + truncations):
        name = files[number % len(files)]
        data = bytearray(whole[name])
        if number < flips:
            data[seed.randrange(len(data))] ^= 1 << seed.randrange(8)
        else:
            del data[seed.randrange(len(data)) :]
        (bundle / name).write_bytes(data)
        sealed = number % 2 == 0 and name.endswith(".arrays")
        if sealed:
            reseal(bundle)
        try:
            read_all(bundle)
            found = False
        except BundleError:
            found = True
        assert found or sealed, f"damage of {name} was not found"
        told[("flips" if number < flips else "truncations") + (", hashes right" if sealed else "")] += 1
        for restored in files if sealed else (name,):
            (bundle / restored).write_bytes(whole[restored])
    read_all(bundle)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    for name in ("kills", "faults", "flips", "truncations"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shim", type=Path)
    given = parser.parse_args()
    if given.shim is None:
        names = ("kills", "faults", "flips", "truncations", "seed")
        words = [word for name in names for word in (f"--{name}", str(getattr(given, name)))]
        print(json.dumps(preloaded(given.folder, words)))
        return
    seed = random.Random(given.seed)
    trial = Trial(given.folder, ctypes.CDLL(str(given.shim)))
    told = writes(trial, kinds=(KILL_BEFORE, KILL_AFTER), count=given.kills, seed=seed)
    told += writes(trial, kinds=(FULL, BROKEN, SHORT), count=given.faults, seed=seed)
    told += damages(given.folder, flips=given.flips, truncations=given.truncations, seed=seed)
    print(json.dumps(told, sort_keys=True))


if __name__ == "__main__":
    main()
