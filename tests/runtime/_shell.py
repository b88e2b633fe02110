"""`lerg-edge` in this process, with what it prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lerg_runtime.cli import main


class Shell:
    """Runs a command in this process and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        printed = self._capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    def json(self, *arguments: object) -> Any:
        status, out, err = self(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)
