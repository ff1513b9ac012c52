"""What every command prints with: lines that come out at once, columns that line up, colour where it is wanted."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from edge.errors import OutputError, WbcError


def prepare() -> None:
    """Make both outputs UTF-8 whatever the locale, as JSON has to be; give a process that lacks one of them one."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the process
    if sys.stderr is None:  # to which `print` would write on standard output
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Give standard output to write to; what was written comes out when the block ends.

    Raises
    ------
    BrokenPipeError
        When its reader went away.
    OutputError
        When it cannot be written, such as to a file on a full disk.
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except (BrokenPipeError, WbcError):
        raise
    except OSError as error:
        forsake_standard_output()
        raise OutputError("standard output", error.strerror or str(error), "Free some space there") from error


def write(line: str) -> None:
    """Write a line to standard output at once."""
    with standard_output() as stream:
        print(line, file=stream)


def write_json(value: Any) -> None:
    """Write a value, which may hold dataclasses, as a line of JSON; numbers that are not finite become null."""
    import msgspec

    try:
        # The only strangers that travel in results are numpy's numbers.
        line = msgspec.json.encode(value, enc_hook=float)
    except UnicodeEncodeError:
        line = msgspec.json.encode(_in_unicode(msgspec.to_builtins(value, enc_hook=float)))
    write(line.decode())


def unicode(text: str) -> str:
    r"""Write out the bytes of a name that are no UTF-8, as in ``\udcff``: the journal does the same."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def say(line: str) -> None:
    """Write a line for a person to standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def say_error(error: WbcError) -> None:
    """Write what went wrong to standard error."""
    say(f"wbc-edge: {error}")


def forsake_standard_output() -> None:
    """Drop what could not be written, which would fail once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """Replace what could drive the terminal: names of files may hold anything."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def write_text(text: str) -> None:
    """Write lines of others, such as a model's card, as they are but for what could drive the terminal."""
    write("\n".join(map(printable, text.expandtabs().splitlines())))


def painted(text: str, colour: str | None) -> str:
    """Colour a text when a person will see it and did not set ``NO_COLOR``."""
    if colour is None or os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, fg=colour)


def left(text: str, columns: int) -> str:
    """Fit a text into so many columns of the terminal; a longer one loses its beginning, as of a path."""
    text = printable(text)
    if _columns(text) > columns:
        while _columns(text) > columns - 1:
            text = text[1:]
        text = f"…{text}"
    return text + " " * (columns - _columns(text))


def _in_unicode(value: Any) -> Any:
    if isinstance(value, str):
        return unicode(value)
    if isinstance(value, dict):
        return {_in_unicode(key): _in_unicode(part) for key, part in value.items()}
    return [_in_unicode(part) for part in value] if isinstance(value, list | tuple) else value


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(bool(unicodedata.combining(letter)) for letter in text)
