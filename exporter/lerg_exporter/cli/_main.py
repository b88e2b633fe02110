"""The group of commands, and the one place where errors become exit statuses and sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from lerg_edge.errors import InputError, LergError
from lerg_exporter.cli.inspect import inspect
from lerg_exporter.cli.run import run
from lerg_exporter.cli.study import study
from lerg_exporter.cli.verify import verify
from lerg_runtime.errors import LergRuntimeError

__all__ = ["main"]

_EXIT_OTHER = 1
_EXIT_INTERRUPTED = 130


@click.group(no_args_is_help=False, invoke_without_command=True)
@click.version_option(message="%(version)s", package_name="lerg-edge")
@click.pass_context
def _lerg_export(context: click.Context) -> None:
    """Turn interactions into a bundle that a device opens, recommends from and fine-tunes.

    Exit status: 0 done, 2 wrong usage or bad input, 3 a budget cannot be met, 4 a damaged or foreign bundle,
    130 interrupted, 1 anything else.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError("name a command: run, study, inspect or verify")


for _command in (run, study, inspect, verify):
    _lerg_export.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its status; every failure is one sentence on standard error.

    Args:
        arguments: without the program's name; None takes them from the command line.
    """
    # torch, imported later, reads this once: threads that spin while they wait slow each other on busy
    # cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = _lerg_export.main(
            args=None if arguments is None else list(arguments),
            prog_name="lerg-export",
            standalone_mode=False,
        )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (LergError, LergRuntimeError) as error:
        return _fail(str(error), error.exit_code)
    except click.UsageError as error:
        return _fail(error.format_message(), InputError.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), _EXIT_OTHER)
    except (KeyboardInterrupt, click.Abort):
        return _fail(
            "interrupted; the same command with the same --work-dir or study goes on from there",
            _EXIT_INTERRUPTED,
        )
    except BrokenPipeError:
        # The reader of our output has gone; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_OTHER
    except MemoryError:
        return _fail(
            "this machine has no more memory; try a smaller --dim, --codes or --pretrain-batch", _EXIT_OTHER
        )
    except ModuleNotFoundError as error:
        return _fail(
            f"{error.name} is not installed; install lerg-edge with its extra: lerg-edge[export]", _EXIT_OTHER
        )
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", _EXIT_OTHER)
    except Exception as error:
        return _fail(f"{type(error).__name__}: {error}; please report this as a bug", _EXIT_OTHER)


def _fail(sentence: str, status: int) -> int:
    click.echo(f"Error: {' '.join(sentence.split())}", err=True)
    return status
