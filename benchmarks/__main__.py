"""`python -m benchmarks [SUITE ...]`: this project against its peers, in one process and one run.

A suite is a module of this package with `run()`, which checks the answers that it times and returns rows.
Without names all of `SUITES` run; `make bench` does that.  Results go to `benchmarks/results/<suite>.json`.
"""

from __future__ import annotations

import importlib
import os
import sys

# Waiting OpenMP threads that spin would take the cores from what is timed. Before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SUITES = (
    "step",
    "propagation",
    "ordering",
    "pairs",
    "retrieval",
    "filters",
    "personal",
    "folded",
    "portable",
    "threads",
    "pretraining",
    "full_table",
)


def main(names: tuple[str, ...]) -> None:
    """Run suites by name."""
    from benchmarks.harness import machine, print_rows, write_rows

    header = machine()
    print(header)
    for name in names or SUITES:
        print(f"\n{name}")
        rows = importlib.import_module(f"benchmarks.{name}").run()
        print_rows(rows)
        write_rows(name, header, rows)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
