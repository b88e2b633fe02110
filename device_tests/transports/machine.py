"""A whole arm64 machine for qemu: Debian's kernel, a disk with userland and wheel, an init of our own.

All of it is made once under `build/arm64` and needs neither root nor an installation. Memory is bounded as on
a device: what a process takes there, it takes of the machine's own.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile

from device_tests.transports.userland import BUILD, alone, site_packages, unpacked, userland

__all__ = ["NEEDED", "archive", "disk", "kernel"]

NEEDED = ("qemu-system-aarch64", "apt-get", "dpkg-deb", "mke2fs", "cpio")
"""Commands without which there is no machine; Debian: qemu-system-arm, e2fsprogs, cpio."""

_WANTED = ("virtio_mmio", "virtio_pci", "virtio_blk", "ext4")
_INIT = Path(__file__).with_name("init.sh")


def kernel() -> Path:
    """Debian's kernel for arm64 (downloaded if it is not there, 60 MB)."""
    return next((unpacked("kernel", ("linux-image-arm64",)) / "boot").glob("vmlinuz-*"))


def _needed(module: Path) -> list[str]:
    """The modules that one depends on, as it says itself."""
    with module.open("rb") as stream:
        said = ELFFile(stream).get_section_by_name(".modinfo").data()
    depends = next(line for line in said.split(b"\0") if line.startswith(b"depends="))
    return [name for name in depends.decode().removeprefix("depends=").split(",") if name]


def _modules(folder: Path) -> None:
    """Put the modules that the disk needs into a folder, and the order to load them in."""
    root = next((unpacked("kernel", ("linux-image-arm64",)) / "lib" / "modules").iterdir())
    files = {path.name.partition(".")[0].replace("-", "_"): path for path in root.rglob("*.ko*")}
    order: list[str] = []

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in order or name not in files:  # built in
            return
        for other in _needed(files[name]):
            add(other)
        order.append(name)
        shutil.copy(files[name], folder / files[name].name)

    for name in _WANTED:
        add(name)
    # ext4 asks for a checksum by name, which no list of dependencies has.
    add("crc32c_generic")
    (folder / "order").write_text("".join(f"{files[name].name}\n" for name in order))


@alone
def disk(wheel: Path) -> Path:
    """A read-only file system with the userland, the wheel and what it requires."""
    site = site_packages(wheel)
    image = BUILD / "disk.ext4"
    if image.exists() and image.stat().st_mtime >= (site / "complete").stat().st_mtime:
        return image
    root, busybox = BUILD / "disk", unpacked("busybox", ("busybox-static",))
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(userland(), root, symlinks=True)
    shutil.copytree(site, root / "site", symlinks=True)
    for name in ("proc", "sys", "dev", "tmp", "bin"):
        (root / name).mkdir(exist_ok=True)
    shutil.copy(busybox / "bin" / "busybox", root / "bin" / "sh")
    image.unlink(missing_ok=True)
    size = sum(path.lstat().st_size + 4096 for path in root.rglob("*")) * 5 // 4
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(image), f"{size // 1024}k"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root)
    return image


def archive(pushed: Path, target: Path) -> Path:
    """The first file system of the machine: init, modules, and what was pushed."""
    root = target.with_suffix(".root")
    for name in ("bin", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy(unpacked("busybox", ("busybox-static",)) / "bin" / "busybox", root / "bin" / "busybox")
    shutil.copy(_INIT, root / "init")
    (root / "init").chmod(0o755)
    _modules(root / "modules")
    shutil.copytree(pushed, root / "pushed")
    names = "\0".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    command = ["cpio", "--quiet", "-0", "-o", "-H", "newc"]
    made = subprocess.run(command, input=names.encode(), cwd=root, capture_output=True, check=True)
    target.write_bytes(gzip.compress(made.stdout, 1))
    shutil.rmtree(root)
    return target
