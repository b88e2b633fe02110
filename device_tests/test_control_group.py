"""A control group holds what is in it to its limit, whatever version of them the kernel has."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from device_tests.control_group import ControlGroup

LIMIT = 64 << 20
TAKE = "import sys; open(sys.argv[1], 'w').write('0'); block = b'x' * (int(sys.argv[2]) << 20)"


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    try:
        group = ControlGroup(LIMIT)
    except OSError as error:
        pytest.skip(f"no memory controller to use here: {error}")
    yield group
    group.close()


@pytest.mark.parametrize(("mebibytes", "ended"), [(16, 0), (256, -signal.SIGKILL)])
def test_a_process_is_held_to_its_limit(group: ControlGroup, mebibytes: int, ended: int) -> None:
    done = subprocess.run([sys.executable, "-c", TAKE, str(group.processes), str(mebibytes)], check=False)
    assert done.returncode == ended
    peak = group.peak_bytes()
    assert peak is None or min(mebibytes << 20, LIMIT - (1 << 20)) <= peak <= LIMIT
