"""Headless Chromium on a page: what it makes of it, what it asks the network for, what it complains of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# What the browser asks its maker of its own accord; on no page of ours.
_OWN = re.compile(r"(^|\.)(google|googleapis|gstatic)\.com$")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--log-level=0",
    "--virtual-time-budget=2000",
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A page as the browser has it in the end.

    Attributes:
        document: its elements, as HTML.
        complaints: lines of the console.
        requests: addresses that were asked for, the file itself and the browser's own left out.
    """

    document: str
    complaints: list[str]
    requests: list[str]


def visit(page: Path, scratch: Path) -> Visit:
    """Open a page in a browser of its own; without one the test is skipped, but under CI it fails."""
    if shutil.which("chromium") is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed: apt-get install chromium")
    log = scratch / "network.json"
    given = (f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={log}", "--dump-dom", page.as_uri())
    done = subprocess.run(["chromium", *_FLAGS, *given], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    addresses = {str(event["params"]["url"]) for event in events if "url" in event.get("params", {})}
    foreign = [each for each in addresses if not each.startswith("file:") and not _is_own(each)]
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Visit(done.stdout, complaints, sorted(foreign))


def _is_own(address: str) -> bool:
    return _OWN.search(urlsplit(address).hostname or "") is not None
