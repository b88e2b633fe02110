"""Runs the libFuzzer target over the seeds' programs, and turns what it finds into recipes.

    PYTHONPATH=tests python -m fuzzing.coverage_guided build/fuzz-native/fuzz_program --seconds 60

What it learnt stays in `build/fuzz/inputs/` for the next run; a finding becomes a recipe in `build/fuzz/`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from fuzzing.bundles import PROGRAM, seed, seed_kinds

INPUTS, FINDINGS = Path("build/fuzz/inputs"), Path("build/fuzz")
OPTIONS = (
    "-timeout=20",
    "-rss_limit_mb=2048",
    "-malloc_limit_mb=1024",
    "-detect_leaks=0",
    "-print_final_stats=1",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0 draws one")
    asked = parser.parse_args()
    INPUTS.mkdir(parents=True, exist_ok=True)
    programs = {kind: seed(kind)[PROGRAM] for kind in seed_kinds()}
    for kind, program in programs.items():
        (INPUTS / kind).write_bytes(program)
    largest = max(map(len, programs.values()))
    done = subprocess.run(
        [
            *(asked.target, str(INPUTS), *OPTIONS, f"-max_total_time={asked.seconds}", f"-seed={asked.seed}"),
            *(f"-max_len={largest}", f"-artifact_prefix={FINDINGS}/found-"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    runs = re.search(r"stat::number_of_executed_units: *(\d+)", done.stderr)
    coverage = re.findall(r"cov: (\d+)", done.stderr)
    ran, reached = runs[1] if runs else "?", coverage[-1] if coverage else "?"
    print(f"coverage-guided: {ran} programs, {reached} edges reached")
    if done.returncode == 0:
        return 0
    found = re.search(r"Test unit written to (\S+)", done.stderr)
    print(done.stderr[-4000:])
    if found:
        print("as a recipe:", keep(Path(found[1]), programs))
    return 1


def keep(path: Path, programs: dict[str, bytes]) -> Path:
    """The recipe of a program that was found: its differences from the seed that is nearest to it."""
    data = path.read_bytes()

    def patches(program: bytes) -> list[list[int]]:
        return [[at, new] for at, (new, old) in enumerate(zip(data, program, strict=False)) if new != old]

    kind = min(programs, key=lambda kind: len(patches(programs[kind])) + abs(len(programs[kind]) - len(data)))
    recipe = {"kind": kind, "bytes": {PROGRAM: patches(programs[kind])}}
    kept = path.with_name(path.name + ".json")
    kept.write_text(json.dumps(recipe) + "\n")
    return kept


if __name__ == "__main__":
    sys.exit(main())
