"""What a wheel of any machine must be: tags, headers of its libraries, size. Nothing is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "CMakeLists.txt",
    "pyproject.toml",
    "tools/device_wheel.py",
    "runtime",
    "lerg_edge",
    "exporter/lerg_exporter",
)
_MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
_LIBRARIES = {
    "_native.abi3.so",
    "libexecutorch.so",
    "libexecutorch_kernels_optimized.so",
    "libexecutorch_threadpool.so",
    "liblerg_kernels.so",
}
_SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libgcc_s.so.1", "libpthread.so.0", "libstdc++.so.6"} | {
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}


def newest_source() -> float:
    """When the youngest file that goes into a wheel was written."""
    files = [path for name in SOURCES for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_file()]
    return max(path.stat().st_mtime for path in files if "__pycache__" not in path.parts)


def check_wheel(wheel: Path, machine: str) -> None:
    """Its name and its metadata say: CPython from 3.11 on by the stable ABI, and what auditwheel finds."""
    tag = re.fullmatch(
        rf"lerg_edge-[\d.]+(?:\+device)?-(cp311-abi3-manylinux_2_\d+_{machine})\.whl", wheel.name
    )
    assert tag, wheel.name
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        stated = re.findall(r"^Tag: (.*)$", archive.read(metadata).decode(), re.MULTILINE)
    assert stated == [tag[1]]
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", str(wheel)], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r'platform\s+tag:\s+"(\w+)"', shown)
    assert found
    assert tag[1].endswith(found[1])


def check_libraries(wheel: Path, machine: str, folder: Path) -> None:
    """Each is for this machine, needs nothing but its neighbours and glibc's, and names no folder."""
    zipfile.ZipFile(wheel).extractall(folder)
    libraries = sorted(folder.rglob("*.so*"))
    assert {library.relative_to(folder / "lerg_runtime").as_posix() for library in libraries} == _LIBRARIES
    for library in libraries:
        with library.open("rb") as file:
            elf = ELFFile(file)
            assert elf["e_machine"] == _MACHINES[machine], library.name
            dynamic = list(_dynamic(elf).iter_tags())
            # Kernels with pages of 16 KB need segments that start at such ones.
            loaded = [segment["p_align"] for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
        assert machine != "aarch64" or min(loaded) >= 16384
        found = {tag.entry.d_tag: tag for tag in dynamic}
        assert "DT_RPATH" not in found
        assert found["DT_RUNPATH"].runpath == "$ORIGIN", library.name
        needed = {tag.needed for tag in dynamic if tag.entry.d_tag == "DT_NEEDED"}
        assert needed <= _LIBRARIES | _SYSTEM, library.name
        if not library.name.startswith("_native"):
            # A process that also loads ExecuTorch's own copy finds by this name that it has one already.
            assert found["DT_SONAME"].soname == library.name
        content = library.read_bytes()
        for place in (ROOT, Path(sys.prefix)):
            assert str(place).encode() not in content, f"{library.name} names {place}"


def imported_symbols(library: Path) -> set[str]:
    """Names of the dynamic symbols that it takes from other libraries."""
    with library.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".dynsym").iter_symbols()
        return {symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF"}


def installed_bytes(wheel: Path, folder: Path, *, package: str = "") -> int:
    """Bytes of all that it installs, or of one package, without bytecode."""
    zipfile.ZipFile(wheel).extractall(folder)
    return sum(path.stat().st_size for path in (folder / package).rglob("*") if path.is_file())


def _dynamic(elf: ELFFile) -> DynamicSection:
    return next(section for section in elf.iter_sections() if isinstance(section, DynamicSection))
