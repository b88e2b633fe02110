"""The transports themselves: a real OpenSSH server on loopback, adb as it answers, and what failures say."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_tests.transports import DeviceError, open_transport


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An OpenSSH server with throw-away keys: its address, and a configuration for clients."""
    daemon = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
    if daemon is None or shutil.which("ssh") is None:
        pytest.skip("OpenSSH is not installed: apt-get install openssh-server openssh-client")
    folder, port = tmp_path_factory.mktemp("ssh"), free_port()
    folder.chmod(0o700)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "client.pub", folder / "authorized")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\n"
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(
        f"IdentityFile {folder}/client\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = folder / "log"
    running = subprocess.Popen([daemon, "-D", "-f", str(folder / "sshd_config"), "-E", str(log)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"{getpass.getuser()}@127.0.0.1:{port}", folder / "config"
    finally:
        running.terminate()
        running.wait()


def test_ssh_puts_folders_runs_python_and_removes_them(server: tuple[str, Path], tmp_path: Path) -> None:
    address, config = server
    source = tmp_path / "with space"
    source.mkdir()
    (source / "file").write_text("é")
    transport = open_transport(f"ssh:{address}", python=sys.executable, ssh_config=config)
    there = transport.push(source)
    code = "import os, sys; print(os.listdir(sys.argv[1]), sys.argv[2]); sys.exit(3)"
    done = transport.python("-c", code, there, "it's $HOME; `x`")
    assert (done.status, done.stdout) == (3, "['file'] it's $HOME; `x`\n")
    assert (Path(there) / "file").read_text() == "é"
    transport.close()
    assert not Path(there).exists()


@pytest.mark.slow
def test_contract_over_ssh(server: tuple[str, Path], request: pytest.FixtureRequest) -> None:
    address, config = server
    options = [f"--device=ssh:{address}", f"--ssh-config={config}", f"--device-python={sys.executable}"]
    kept = request.config.getoption("--kept")
    if kept is not None:
        options.append(f"--kept={kept.resolve()}")
    contract = [
        str(Path(__file__).with_name(name)) for name in ("test_contract.py", "test_personal_contract.py")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *contract, *options],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_ssh_says_who_does_not_answer(tmp_path: Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("OpenSSH is not installed: apt-get install openssh-client")
    with pytest.raises(DeviceError, match=r"nobody@127\.0\.0\.1 does not do `mktemp -d`: .*refused"):
        open_transport(f"ssh:nobody@127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("fridge", "there is no 'fridge'; take one of local,"),
        ("local:here", "local has no address"),
        ("ssh:", "write ssh:user@host"),
        ("ssh:me@pi:port", "write ssh:user@host"),
        ("ssh:-oProxyCommand=x", "write ssh:user@host"),
        ("adb", "write adb:SERIAL"),
        ("arm64:potato", "take one of bookworm, trixie, forky|is not there"),
        ("rlimit:much", "the address of --device"),
        ("cgroup:", "the address of --device"),
    ],
)
def test_devices_that_are_none_are_refused(device: str, sentence: str) -> None:
    with pytest.raises(DeviceError, match=sentence):
        open_transport(device)


# What adb writes: at which command, its exit status and standard error, and what we make of it. The first is
# what adb 1.0.41 wrote without a device; the others stand in its sources, for no device was at hand.
FAILURES = {
    "not there": ("shell", 1, "error: device 'emulator-5554' not found", "device 'emulator-5554' not found"),
    "not allowed": ("shell", 1, "error: device unauthorized.", "device unauthorized"),
    "copying": ("push", 1, "adb: error: failed to copy: remote No space left on device", "No space left"),
    "no Python": ("shell", 127, "/system/bin/sh: python3: inaccessible or not found", "name a Python with"),
}


def put_adb(folder: Path, monkeypatch: pytest.MonkeyPatch, *, verb: str, status: int, error: str) -> Path:
    """An `adb` that writes its arguments down, and fails at `verb` as it is told; `mkdir` succeeds."""
    log = folder / "log"
    script = folder / "adb"
    script.write_text(
        f'#!/bin/sh\nprintf "%s|" "$@" >> "{log}"; echo >> "{log}"\n'
        f'case "$3 $4" in "shell mkdir"*) [ "{verb}" = shell ] && [ {status} = 1 ] || exit 0;; esac\n'
        f'if [ "$3" = "{verb}" ]; then printf "%s\\n" "$ERROR" >&2; exit {status}; fi\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("ERROR", error)
    return log


@pytest.mark.parametrize("failure", FAILURES)
def test_adb_says_what_failed(failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, status, error, sentence = FAILURES[failure]
    put_adb(tmp_path, monkeypatch, verb=verb, status=status, error=error)

    def use() -> None:
        transport = open_transport("adb:emulator-5554")
        transport.push(tmp_path / "adb")
        transport.python("-c", "1")

    with pytest.raises(DeviceError, match=f"^emulator-5554 .*{sentence}"):
        use()


def test_adb_is_asked_as_its_manual_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = put_adb(tmp_path, monkeypatch, verb="nothing", status=0, error="")
    transport = open_transport("adb:R58M", python="/data/python")
    there = transport.push(tmp_path / "adb")
    assert transport.python("-c", "print('x y')", there).status == 0
    transport.close()
    folder = there.rpartition("/")[0]
    assert folder.startswith("/data/local/tmp/lerg-")
    assert log.read_text().splitlines() == [
        f"-s|R58M|shell|mkdir {folder}|",
        f"-s|R58M|push|{tmp_path}/adb|{there}|",
        f"-s|R58M|shell|cd {folder} && /data/python -c 'print('\"'\"'x y'\"'\"')' {there}|",
        f"-s|R58M|shell|rm -rf {folder}|",
    ]
