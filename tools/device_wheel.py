"""Makes what a device installs of a wheel: `python tools/device_wheel.py WHEEL TO`.

The wheel that is written into the folder TO has `lerg_runtime` and the command `lerg-edge`, and neither the
packages that train and export nor what they require. Its version ends in `+device`, by which pip and people
tell it from the whole.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LEFT_OUT = ("lerg_edge", "lerg_exporter")
EXTRAS = ("export", "dev", "docs")
SUFFIX = "+device"


def metadata_of_device(text: str) -> str:
    """METADATA without the extras that a device does not have, and with its version.

    Raises:
        SystemExit: it has no version.
    """
    head, blank, description = text.partition("\n\n")
    lines = head.splitlines()
    versions = [line for line in lines if line.startswith("Version: ")]
    if len(versions) != 1:
        raise SystemExit("the wheel's METADATA has no version")
    dropped = {f"Provides-Extra: {name}" for name in EXTRAS}
    ends = tuple(f'extra == "{name}"' for name in EXTRAS)
    kept = [line for line in lines if line not in dropped and not line.endswith(ends)]
    return "\n".join(line + SUFFIX * (line in versions) for line in kept) + blank + description


def scripts_of_device(text: str) -> str:
    """entry_points.txt without the commands of the packages that are left out."""
    kept = (line for line in text.splitlines() if not any(f"{name}." in line for name in LEFT_OUT))
    return "\n".join(kept) + "\n"


def device_wheel(wheel: Path, folder: Path) -> Path:
    """Write the device's part of a wheel into `folder`, in place of those for the same machine.

    Raises:
        SystemExit: the wheel is not one of this project, with all three packages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        _wheel("unpack", "--dest", work, str(wheel))
        (root,) = Path(work).iterdir()
        for name in LEFT_OUT:
            if not (root / name).is_dir():
                raise SystemExit(f"{wheel} has no {name}")
            shutil.rmtree(root / name)
        (about,) = root.glob("*.dist-info")
        for name, changed in (("METADATA", metadata_of_device), ("entry_points.txt", scripts_of_device)):
            (about / name).write_text(changed((about / name).read_text()))
        about.rename(root / f"{about.name.removesuffix('.dist-info')}{SUFFIX}.dist-info")
        packed = Path(work) / "packed"
        packed.mkdir()
        _wheel("pack", "--dest-dir", str(packed), str(root))
        (made,) = packed.iterdir()
        machine = made.stem.rpartition("-")[2].split("_", 3)[-1]
        for older in folder.glob(f"*_{machine}.whl"):
            older.unlink()
        return Path(shutil.move(made, folder / made.name))


def _wheel(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "wheel", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    print(device_wheel(Path(sys.argv[1]), Path(sys.argv[2])))
