"""The workstation's Python API in one page: interactions in, a bundle and a report of it out.

    python examples/export_api.py FILE BUNDLE REPORT

FILE is what `lerg-export run` reads. REPORT/index.html opens offline.
"""

from __future__ import annotations

import sys

from lerg_edge import read_dataset
from lerg_exporter import ExportOptions, export, write_report


def main(file: str, bundle: str, report: str) -> None:
    dataset = read_dataset(file, seed=0)
    # Every setting of docs/settings.md is a field; these keep a trial short.
    options = ExportOptions(dim=16, epochs=5, finetune_epochs=2, newcomers=0, memory_budget=64 << 20)
    made = export(dataset, bundle, options)
    for stage, metrics in made.manifest.document["metrics"].items():
        print(f"{stage}: NDCG@20 {metrics['ndcg@20']:.4f}")
    print(f"see {write_report(made, dataset, report)}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
