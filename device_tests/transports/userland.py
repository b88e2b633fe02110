"""Debian userlands for arm64 and the arm64 wheel in them, run by qemu's user-mode emulation.

Packages come by apt with a configuration of their own and are unpacked: nothing is installed on this machine,
and no root is needed. Built once under `build/arm64`; the wheel is laid in anew when it changes. Bytecode is
made here where this Python is of the same version: emulated, compiling takes longer than all that follows.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

__all__ = [
    "BOOKWORM",
    "BUILD",
    "NEEDED",
    "RELEASES",
    "Release",
    "alone",
    "arm64_wheel",
    "emulated",
    "site_packages",
    "unpacked",
    "userland",
]

_Asked = ParamSpec("_Asked")

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "arm64"
NEEDED = ("qemu-aarch64-static", "apt-get", "dpkg-deb")
"""Commands without which there is no emulation; Debian's qemu-user-static has the first."""

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PLATFORMS = (
    "manylinux_2_34_aarch64",
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux2014_aarch64",
)


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian, and so of Raspberry Pi OS.

    Attributes:
        name: such as `trixie`.
        python: the version that it has, such as `3.13`.
        numpy: which one is laid beside it. Each newer one is larger, 49 MB, 51 and 56, and brings nothing
            that is used here.
    """

    name: str
    python: str
    numpy: str

    def folder(self, name: str) -> Path:
        """Where its `name` is built; the oldest release has the plain names."""
        return BUILD / (name if self == BOOKWORM else f"{name}-{self.name}")


BOOKWORM = Release("bookworm", "3.11", "numpy<2.3")
RELEASES = {
    release.name: release
    for release in (BOOKWORM, Release("trixie", "3.13", "numpy<2.3"), Release("forky", "3.14", "numpy<2.4"))
}
"""Those whose Python the wheel is tried on: Debian 12, 13, and the one after."""


def arm64_wheel() -> Path | None:
    """What a device installs of the wheel that `make wheel-arm64` built, or None."""
    return next((ROOT / "dist" / "device").glob("lerg_edge-*-cp311-abi3-manylinux_*_aarch64.whl"), None)


def alone(make: Callable[_Asked, Path]) -> Callable[_Asked, Path]:
    """`make`, which keeps what it made: of several processes one makes it, and the others wait."""

    @functools.wraps(make)
    def waiting(*arguments: _Asked.args, **named: _Asked.kwargs) -> Path:
        BUILD.mkdir(parents=True, exist_ok=True)
        with (BUILD / f"{make.__name__}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return make(*arguments, **named)

    return waiting


@alone
def userland(release: Release = BOOKWORM) -> Path:
    """The folder with Debian's Python for arm64, downloaded if it is not there (20 MB).

    Raises:
        subprocess.CalledProcessError: the packages could not be had.
    """
    version = release.python
    root = unpacked(
        "userland", (f"python{version}-minimal", f"libpython{version}-stdlib", "libstdc++6"), release
    )
    compiled = root / "compiled"
    if not compiled.exists():
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            library = root / "usr" / "lib" / f"python{version}"
            subprocess.run([sys.executable, "-m", "compileall", "-qq", str(library)], check=True)
        compiled.touch()
    return root


@alone
def unpacked(name: str, packages: Sequence[str], release: Release = BOOKWORM) -> Path:
    """The folder `name` with a release's packages for arm64, and all that they need, unpacked.

    Raises:
        subprocess.CalledProcessError: the packages could not be had.
    """
    root = release.folder(name)
    apt = root.with_name(f"apt-{root.name}")
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    for folder in (root, apt / "lists" / "partial", apt / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_mirror()} {release.name} main\n")
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    subprocess.run([*command, "update"], check=True, stdout=subprocess.DEVNULL)
    install = [*command, "--download-only", "-y", "install", *packages]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    for merged in ("lib", "bin"):  # from trixie on all lies under /usr, and an installation has these links
        if not (root / merged).exists():
            (root / merged).symlink_to(f"usr/{merged}")
    shutil.rmtree(apt)
    (root / "complete").touch()
    return root


def _mirror() -> str:
    """Where this machine takes Debian's packages from.

    Raises:
        RuntimeError: from nowhere: it is no Debian, or has no package sources.
    """
    told = "$(COMPONENT) $(RELEASE) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", told, "Created-By: Packages"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for component, release, place in map(str.split, found.splitlines()):
        if component == "main" and "-" not in release:  # neither security nor updates
            return place
    raise RuntimeError("apt knows no source of Debian packages; give it one in /etc/apt")


@alone
def site_packages(wheel: Path, release: Release = BOOKWORM) -> Path:
    """The folder with the wheel and what it requires, for arm64 and the Python of a release."""
    site = release.folder("site")
    stamp = site / "complete"
    if stamp.exists() and stamp.stat().st_mtime >= wheel.stat().st_mtime:
        return site
    shutil.rmtree(site, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:"]
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    target = ["--python-version", release.python, "--target", str(site), *platforms]
    subprocess.run([*pip, *target, str(wheel), release.numpy], check=True)
    stamp.touch()
    return site


def emulated(
    wheel: Path, cpu: str, *arguments: str, cwd: Path, release: Release = BOOKWORM
) -> subprocess.CompletedProcess[str]:
    """Run arm64 Python with the wheel on an emulated processor, such as `cortex-a72`."""
    root = userland(release)
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(site_packages(wheel, release)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ.get("PATH", ""),
    }
    python = root / "usr" / "bin" / f"python{release.python}"
    command = ["qemu-aarch64-static", "-cpu", cpu, "-L", str(root), str(python)]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
