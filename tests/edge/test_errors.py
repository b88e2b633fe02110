"""Errors name arguments in Python's words, and in those of whoever shows them."""

from __future__ import annotations

from lerg_edge.errors import BudgetError, InputError


def as_options(name: str, value: str | None) -> str:
    return f"--{name}" if value is None else f"--{name} {value}"


def test_arguments_are_called_what_the_reader_calls_them() -> None:
    error = InputError.naming("{}: {dim} is {!r}; it must be even with {bits:{}}", "a {dim}.csv", "7", 4)
    assert str(error) == "a {dim}.csv: dim is '7'; it must be even with bits=4"
    assert error.spelt(as_options) == "a {dim}.csv: --dim is '7'; it must be even with --bits 4"
    assert error.names == {"dim", "bits"}


def test_a_plain_message_stays_as_it_is() -> None:
    error = BudgetError("{dim} of a {path")
    assert error.spelt(as_options) == str(error) == "{dim} of a {path"
    assert error.names == frozenset()


def test_several_faults_are_one_error() -> None:
    faults = [InputError.naming("{a} is 1"), InputError("no")]
    error = InputError.of_all(faults)
    assert (str(error), error.spelt(as_options)) == ("a is 1; no", "--a is 1; no")
    assert list(error.faults) == faults
    assert InputError.of_all(faults[:1]) is faults[0]
    assert faults[1].faults == (faults[1],)
