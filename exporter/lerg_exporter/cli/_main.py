"""The group of commands, and the one place where errors become exit statuses and sentences."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence

import click

from lerg_edge.errors import InputError, LergError
from lerg_exporter.cli.compress import compress
from lerg_exporter.cli.embeddings import embeddings
from lerg_exporter.cli.inspect import inspect
from lerg_exporter.cli.run import run
from lerg_exporter.cli.sign import keygen, sign
from lerg_exporter.cli.study import study
from lerg_exporter.cli.verify import verify
from lerg_runtime.cli.signals import Arrivals, Interrupted, interruption, quiet_end, raised
from lerg_runtime.cli.streams import speak_utf8
from lerg_runtime.errors import LergRuntimeError

__all__ = ["run_command"]

_EXIT_OTHER = 1


@click.group(no_args_is_help=False, invoke_without_command=True)
@click.version_option(message="%(version)s", package_name="lerg-edge")
@click.pass_context
def _lerg_export(context: click.Context) -> None:
    """Turn interactions into a bundle that a device opens, recommends from and fine-tunes.

    Exit status: 0 done, 2 wrong usage or bad input, 3 a budget cannot be met, 4 a damaged or foreign bundle,
    130 interrupted, 143 terminated, 1 anything else.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError(
            "name a command: run, compress, study, inspect, verify, embeddings, sign or keygen"
        )


for _command in (run, compress, study, inspect, verify, embeddings, sign, keygen):
    _lerg_export.add_command(_command)


def run_command(arguments: Sequence[str] | None) -> int:
    """Run one command and give its exit status; every failure is one sentence on standard error.

    Args:
        arguments: without the program's name; None takes them from the command line, and the process ends
            when they are done.
    """
    with raised(last=arguments is None) as arrivals:
        try:
            return _run(arguments, arrivals)
        except (Interrupted, KeyboardInterrupt, click.Abort) as error:
            return _interrupted(error, arrivals)


def _run(arguments: Sequence[str] | None, arrivals: Arrivals) -> int:
    speak_utf8()
    try:
        status = _lerg_export.main(
            args=None if arguments is None else list(arguments),
            prog_name="lerg-export",
            standalone_mode=False,
        )
        quiet_end()
        return status if isinstance(status, int) else 0
    except click.Abort:
        raise
    except Exception as error:
        if arrivals.number:  # an interruption came out of a library as something else
            return _interrupted(error, arrivals)
        return _failed(error)


def _failed(error: Exception) -> int:
    if isinstance(error, InputError):
        return [_fail(str(fault), error.exit_code) for fault in error.faults][-1]
    if isinstance(error, (LergError, LergRuntimeError)):
        return _fail(str(error), error.exit_code)
    if isinstance(error, click.ClickException):
        usage = isinstance(error, click.UsageError)
        return _fail(error.format_message(), InputError.exit_code if usage else _EXIT_OTHER)
    if isinstance(error, BrokenPipeError):
        return _EXIT_OTHER  # the reader of our output has gone
    if isinstance(error, MemoryError):
        told = str(error) or "this machine has no more memory"
        return _fail(
            f"{told}; try a smaller --dim, --set codebook_rows=N or --set pretrain_batch=N", _EXIT_OTHER
        )
    if isinstance(error, ModuleNotFoundError):
        return _fail(
            f"{error.name} is not installed; install lerg-edge with its extra: lerg-edge[export]", _EXIT_OTHER
        )
    if isinstance(error, OSError):
        # Whatever writes a file names it; a full disk without a name is that of what is printed.
        unnamed = "standard output: " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        place = f"{error.filename}: " if error.filename else unnamed
        return _fail(f"{place}{error.strerror or error}", _EXIT_OTHER)
    return _fail(f"{type(error).__name__}: {error}; please report this as a bug", _EXIT_OTHER)


def _interrupted(error: BaseException, arrivals: Arrivals) -> int:
    cause = error.__cause__ if isinstance(error, click.Abort) else error
    told = cause.args if isinstance(cause, (Interrupted, KeyboardInterrupt)) else ()
    return _fail(*interruption(arrivals.number or signal.SIGINT, *map(str, told)))


def _fail(sentence: str, status: int) -> int:
    click.echo(f"Error: {' '.join(sentence.split())}", err=True)
    return status
