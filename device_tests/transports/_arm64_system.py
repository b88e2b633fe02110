"""A whole arm64 machine, emulated: the one of the emulated devices where resident memory means something."""

from __future__ import annotations

import base64
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from device_tests.transports import machine
from device_tests.transports._settings import Settings
from device_tests.transports._transport import Completed, DeviceError
from device_tests.transports.userland import arm64_wheel

_MEMORY = "256MiB"
_PYTHON = "PYTHONPATH=/site PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3.11"


class Arm64SystemTransport:
    """A Cortex-A72 with 256 MB, or as much as `arm64-system:512MiB` says. It starts with the first command.

    Raises:
        DeviceError: the wheel is not built, or a command is missing.
    """

    def __init__(self, settings: Settings) -> None:
        missing = [name for name in machine.NEEDED if shutil.which(name) is None]
        wheel = arm64_wheel()
        if missing or wheel is None:
            raise DeviceError(f"{', '.join(missing) or 'the wheel'} is not there; see device_tests/README.md")
        self._memory, self._wheel = f"{settings.size(_MEMORY) // 2**20}M", wheel
        self._folder = Path(tempfile.mkdtemp(prefix="lerg-machine-"))
        (self._folder / "pushed").mkdir()
        self._running: subprocess.Popen[str] | None = None

    def push(self, source: Path) -> str:
        if self._running is not None:
            raise DeviceError("the emulated machine takes files only before its first command")
        target = self._folder / "pushed" / source.name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        return f"/tmp/pushed/{source.name}"

    def python(self, *arguments: str) -> Completed:
        if self._running is None:
            self._running = self._start()
        command = f"cd /tmp; {_PYTHON} {' '.join(map(shlex.quote, arguments))}"
        assert self._running.stdin is not None
        self._running.stdin.write(base64.b64encode(command.encode()).decode() + "\n")
        self._running.stdin.flush()
        status, rest = self._line("<begin> ").split(" ", 1)
        out, err = (base64.b64decode(part).decode() for part in rest.removesuffix(" . <end>").split(" . "))
        return Completed(int(status), out, err)

    def _start(self) -> subprocess.Popen[str]:
        first = machine.archive(self._folder / "pushed", self._folder / "initramfs")
        drive = f"file={machine.disk(self._wheel)},format=raw,if=virtio,readonly=on"
        command = [
            "qemu-system-aarch64",
            "-M",
            "virt",
            "-cpu",
            "cortex-a72",
            "-m",
            self._memory,
            "-nographic",
        ]
        command += ["-kernel", str(machine.kernel()), "-initrd", str(first), "-drive", drive]
        command += ["-append", "console=ttyAMA0 quiet loglevel=1", "-no-reboot", "-nic", "none"]
        pipe = subprocess.PIPE
        self._running = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )
        self._line("<ready>")
        return self._running

    def _line(self, start: str) -> str:
        """What follows `start` on the next line with it."""
        assert self._running is not None
        assert self._running.stdout is not None
        said = []
        for line in self._running.stdout:
            _, found, rest = line.rstrip("\r\n").partition(start)
            if found:
                return rest
            said.append(line)
        raise DeviceError(f"the emulated machine has ended; it said: {''.join(said[-20:])}")

    def close(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
