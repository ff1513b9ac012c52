"""The error tree: one line a user understands, an exit code of its own, and a built-in that fits."""

from __future__ import annotations

import inspect
import pickle

import pytest

from edge import errors
from edge.errors import WbcError

FAILURES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, WbcError)]
KINDS = [
    (errors.CameraError, range(10, 20)),
    (errors.ImageError, range(20, 30)),
    (errors.NoImages, range(20, 30)),
    (errors.BundleError, range(30, 40)),
    (errors.RuntimeUnavailable, range(30, 40)),
    (errors.JournalError, range(40, 50)),
    (errors.OutputError, range(50, 60)),
    (errors.ServiceUnavailable, range(50, 60)),
    (errors.DataError, range(60, 80)),
    (errors.TriggerUnavailable, range(50, 60)),
    (WbcError, range(1, 10)),
]


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("bundle a.wbc",), "bundle a.wbc"),
        (("bundle a.wbc", "is empty"), "bundle a.wbc: is empty"),
        (("bundle a.wbc", "is empty", "Copy it again"), "bundle a.wbc: is empty. Copy it again"),
        (("bundle a.wbc", "is empty.", "Copy it again"), "bundle a.wbc: is empty. Copy it again"),
        (("bundle a.wbc", "", "Copy it again"), "bundle a.wbc. Copy it again"),
        (("bundle a.wbc", "first line\n  second\tline\r\n"), "bundle a.wbc: first line second line"),
    ],
)
@pytest.mark.parametrize("failure", FAILURES)
def test_what_why_and_remedy_are_one_line(failure: type[WbcError], parts: tuple[str, ...], line: str) -> None:
    error = failure(*parts)
    assert str(error) == line
    assert [error.what, error.why, error.remedy][: len(parts)] == list(parts)


@pytest.mark.parametrize("failure", FAILURES)
def test_exit_codes_are_those_of_the_kind(failure: type[WbcError]) -> None:
    codes = next(codes for kind, codes in KINDS if issubclass(failure, kind))
    assert failure.exit_code in codes


def test_no_two_failures_share_an_exit_code() -> None:
    assert len({failure.exit_code for failure in FAILURES}) == len(FAILURES) > 20


@pytest.mark.parametrize("failure", [failure for failure in FAILURES if failure is not WbcError])
def test_each_failure_is_a_built_in_one_too_and_says_when_it_is_raised(failure: type[WbcError]) -> None:
    built_in = [base for base in failure.__mro__ if base.__module__ == "builtins" and base not in WbcError.__mro__]
    assert built_in
    assert failure.__doc__
    assert failure.__doc__.startswith(("Raised when", "Base of the failures"))


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_travels_between_processes(failure: type[WbcError]) -> None:
    error = failure("camera v4l2:/dev/video0", "is busy", "Close the other program")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is failure
    assert str(again) == str(error)
    assert (again.what, again.why, again.remedy) == (error.what, error.why, error.remedy)
