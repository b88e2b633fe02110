"""A machine that is reached by OpenSSH."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from device_tests.transports._settings import Settings
from device_tests.transports._transport import Completed, DeviceError

_UNREACHABLE = 255  # ssh's own exit status; the remote command's are passed through


class SshTransport:
    """`ssh:user@host[:port]`: a folder of its own there, and a session a command.

    The device needs a POSIX shell, and Python with the wheel: `--device-python` names it, `python3` without.
    No password is ever asked for: keys, known hosts and all else come from ssh's configuration.

    Raises:
        DeviceError: the address has no host or a port that is none, or the machine cannot be reached.
    """

    def __init__(self, settings: Settings) -> None:
        host, colon, port = settings.address.partition(":")
        if not host or host.startswith("-") or (colon and not port.isdecimal()):
            raise DeviceError(f"--device ssh:{settings.address}: write ssh:user@host or ssh:user@host:port")
        options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        if settings.ssh_config is not None:
            options = ["-F", str(settings.ssh_config), *options]
        self._host = host
        self._ssh = ["ssh", *options, *(["-p", port] if port else []), host, "--"]
        self._scp = ["scp", "-q", "-r", *options, *(["-P", port] if port else [])]
        self._python = settings.python or "python3"
        self._folder = self._run("mktemp -d").stdout.strip()

    def push(self, source: Path) -> str:
        done = subprocess.run(
            [*self._scp, str(source), f"{self._host}:{self._folder}/"], capture_output=True, text=True
        )
        if done.returncode:
            raise DeviceError(f"{source} could not be copied to {self._host}: {done.stderr.strip()}")
        return f"{self._folder}/{source.name}"

    def python(self, *arguments: str) -> Completed:
        words = " ".join(map(shlex.quote, arguments))
        return self._run(f"cd {shlex.quote(self._folder)} && exec {self._python} {words}", may_fail=True)

    def close(self) -> None:
        self._run(f"rm -rf {shlex.quote(self._folder)}")

    def _run(self, line: str, *, may_fail: bool = False) -> Completed:
        done = subprocess.run([*self._ssh, line], capture_output=True, text=True)
        if done.returncode == _UNREACHABLE or (done.returncode and not may_fail):
            raise DeviceError(f"{self._host} does not do `{line}`: {done.stderr.strip()}")
        return Completed(done.returncode, done.stdout, done.stderr)
