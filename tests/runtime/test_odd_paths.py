"""Paths that are not UTF-8, in any locale: read, written and printed as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lerg_runtime import InputError, InteractionsFile

LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX without help": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
}
NAME = os.fsdecode(b"caf\xe9.csv")


def test_a_file_of_such_a_name_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text("user,item\na,1\n", encoding="utf-8")
    assert list(InteractionsFile(path)) == [("a", "1")]
    path.write_text("user,item\na\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: it has 1 fields"):
        list(InteractionsFile(path))


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("program", ["lerg_runtime", "lerg_exporter"])
def test_errors_print_the_bytes_of_a_path(tmp_path: Path, program: str, locale: str) -> None:
    folder = tmp_path / os.fsdecode(b"b\xfc\xc3\xa9")
    folder.mkdir()
    path = folder / NAME
    path.write_text("user,thing\na,1\n", encoding="utf-8")
    arguments = {
        "lerg_runtime": ["info", folder],
        "lerg_exporter": ["run", path, "-o", tmp_path / "out"],
    }[program]
    code = f"import {program}.cli as cli, sys; sys.exit(cli.main())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment | LOCALES[locale],
        capture_output=True,
        check=False,
    )
    assert done.returncode in (2, 4), done.stderr
    assert done.stderr.decode("utf-8", "surrogateescape").count("Error: ") == 1
    assert os.fsencode(folder) in done.stderr
    assert b"Traceback" not in done.stderr


def test_json_escapes_what_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    from lerg_exporter.cli import _output as exporting
    from lerg_runtime.cli import _output as device

    for module in (device, exporting):
        module.print_json({"bundle": f"/é/{NAME}"})
        printed = capsys.readouterr().out
        assert json.loads(printed.encode()) == {"bundle": f"/é/{NAME}"}
        module.print_json({"bundle": "/é"})
        assert "é" in capsys.readouterr().out
