"""Profiles of a bundle on several devices, gathered over ssh into one table and one plot.

    python gather_profiles.py pi4 pi5 -o profiles

Each device has the bundle and `lerg-edge` where `--bundle` and `--command` say, relative to the home folder
of whoever ssh signs in there. Writes `profiles.csv` and `profiles.png`; needs matplotlib, which the extra
`export` brings. A device that does not answer is told of on standard error and left out; the exit status is 1
then.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

COLUMNS = ("device", "isa", "method", "size", "p50_ms", "p95_ms", "p99_ms", "peak_rss_bytes", "planned_bytes")


def profile(host: str, command: str, bundle: str) -> dict[str, Any]:
    """What `lerg-edge profile --json` prints on a device.

    Raises:
        RuntimeError: ssh or the command failed; holds what it said.
    """
    line = f"{command} profile {shlex.quote(bundle)} --json"
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host, line]
    done = subprocess.run(ssh, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{host}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def rows(host: str, found: dict[str, Any]) -> list[dict[str, object]]:
    """A row for each method."""
    memory = found["memory"]
    return [
        {
            "device": host,
            "isa": found["build"]["isa"],
            "method": method,
            "size": found["size"][method],
            **{f"{name}_ms": round(value, 3) for name, value in latency.items()},
            "peak_rss_bytes": memory["peak_rss_bytes"],
            "planned_bytes": memory["planned_bytes"],
        }
        for method, latency in found["latency_ms"].items()
    ]


def draw(table: list[dict[str, Any]], file: Path) -> None:
    """Median time of each method, a group of bars a device, with a line up to the 95th percentile."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    devices, methods = (list(dict.fromkeys(row[key] for row in table)) for key in ("device", "method"))
    figure, axes = pyplot.subplots(figsize=(2 + 1.6 * len(devices), 4), layout="constrained")
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        chosen = {row["device"]: row for row in table if row["method"] == method}
        where = [n + place * width for n, device in enumerate(devices) if device in chosen]
        middle = [row["p50_ms"] for row in chosen.values()]
        above = [row["p95_ms"] - row["p50_ms"] for row in chosen.values()]
        axes.bar(where, middle, width * 0.9, label=method, yerr=[[0] * len(above), above])
    axes.set_xticks([n + 0.4 - width / 2 for n in range(len(devices))], devices)
    axes.set_ylabel("milliseconds, median and 95th percentile")
    axes.set_yscale("log")
    axes.legend()
    figure.savefig(file, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("hosts", nargs="+", metavar="HOST", help="as ssh knows them")
    parser.add_argument("--bundle", default="bundle", help="where the bundle lies there (default: bundle)")
    parser.add_argument("--command", default="lerg/bin/lerg-edge", help="how lerg-edge is called there")
    parser.add_argument("-o", "--output", type=Path, default=Path("profiles"), help="name of both files")
    asked = parser.parse_args()
    table: list[dict[str, Any]] = []
    failed = 0
    for host in asked.hosts:
        try:
            table += rows(host, profile(host, asked.command, asked.bundle))
        except RuntimeError as error:
            failed += 1
            print(error, file=sys.stderr)
    if table:
        with asked.output.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(table)
        draw(table, asked.output.with_suffix(".png"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
