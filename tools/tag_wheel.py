"""Names wheels by the oldest glibc that they run on: `python tools/tag_wheel.py FROM TO`.

Every wheel of the folder FROM is tagged with the platform that auditwheel finds for its libraries, such as
manylinux_2_34_aarch64, and moved into the folder TO. Nothing else in it changes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path


def platform_tag(wheel: Path) -> str:
    """The manylinux tag of a wheel of any machine.

    Raises:
        SystemExit: auditwheel finds none; its answer is the message.
    """
    show = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(show, capture_output=True, text=True)
    found = re.search(r'platform\s+tag:\s+"(manylinux_\w+)"', done.stdout)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"auditwheel finds no manylinux tag for {wheel}:\n{done.stdout}{done.stderr}")
    return found[1]


def tagged(wheel: Path, folder: Path) -> Path:
    """The wheel under its manylinux name in `folder`; the one given is gone."""
    tags = [sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", platform_tag(wheel)]
    name = subprocess.run([*tags, str(wheel)], capture_output=True, text=True, check=True).stdout.split()[-1]
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(wheel.with_name(Path(name).name), folder / Path(name).name))


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    for built in sorted(source.glob("*.whl")):
        print(tagged(built, target))
