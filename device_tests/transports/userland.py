"""A Debian userland for arm64 and the arm64 wheel in it, run by qemu's user-mode emulation.

Packages come by apt with a configuration of their own and are unpacked: nothing is installed on this machine,
and no root is needed. Built once under `build/arm64`; the wheel is laid in anew when it changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["BUILD", "NEEDED", "arm64_wheel", "emulated", "site_packages", "unpacked", "userland"]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "arm64"
NEEDED = ("qemu-aarch64-static", "apt-get", "dpkg-deb")
"""Commands without which there is no emulation; Debian's qemu-user-static has the first."""

_PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")
_PLATFORMS = (
    "manylinux_2_34_aarch64",
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux2014_aarch64",
)


def arm64_wheel() -> Path | None:
    """The wheel that `make wheel-arm64` built, or None."""
    return next((ROOT / "dist").glob("lerg_edge-*-cp311-abi3-manylinux_*_aarch64.whl"), None)


def userland() -> Path:
    """The folder with Debian 12's arm64 Python 3.11, downloaded if it is not there (20 MB).

    Raises:
        subprocess.CalledProcessError: the packages could not be had.
    """
    return unpacked("userland", _PACKAGES)


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """The folder `name` with Debian packages for arm64, and all that they need, unpacked.

    Raises:
        subprocess.CalledProcessError: the packages could not be had.
    """
    root, apt = BUILD / name, BUILD / f"apt-{name}"
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    for folder in (root, apt / "lists" / "partial", apt / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    subprocess.run([*command, "update"], check=True, stdout=subprocess.DEVNULL)
    install = [*command, "--download-only", "-y", "install", *packages]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    shutil.rmtree(apt)
    (root / "complete").touch()
    return root


def site_packages(wheel: Path) -> Path:
    """The folder with the wheel and what it requires, for arm64 and Python 3.11."""
    site = BUILD / "site"
    stamp = site / "complete"
    if stamp.exists() and stamp.stat().st_mtime >= wheel.stat().st_mtime:
        return site
    shutil.rmtree(site, ignore_errors=True)
    # Each newer numpy is larger, 49 MB, 51 and 56, and brings nothing that is used here.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:", "--no-compile"]
    target = [
        "--python-version",
        "3.11",
        "--target",
        str(site),
        *(f"--platform={name}" for name in _PLATFORMS),
    ]
    subprocess.run([*pip, *target, str(wheel), "numpy<2.3"], check=True)
    stamp.touch()
    return site


def emulated(wheel: Path, cpu: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run arm64 Python 3.11 with the wheel on an emulated processor, such as `cortex-a72`."""
    root = userland()
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(site_packages(wheel)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ.get("PATH", ""),
    }
    command = ["qemu-aarch64-static", "-cpu", cpu, "-L", str(root), str(root / "usr" / "bin" / "python3.11")]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
