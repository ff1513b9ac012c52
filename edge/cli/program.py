"""What the project's programs have in common: a failure is one line and an exit code, a signal ends them cleanly."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import click

from edge.cli.output import forsake_standard_output, prepare, say
from edge.cli.signals import Interrupted, Interruptions
from edge.errors import OutputError, WbcError

_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports any program whose reader went away


class Program(click.Group):
    """Turns what its commands raise into a line and an exit code; needs an option ``--debug``."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; what click itself prints, such as help, can meet a full disk as all else can."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            forsake_standard_output()
            full = OutputError("standard output", error.strerror or str(error), "Free some space there")
            say(f"{self.name}: {full}")
            sys.exit(full.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        prepare()
        interruptions = ctx.obj = ctx.obj or Interruptions()
        with interruptions.installed():
            try:
                return super().invoke(ctx)
            except WbcError as error:
                if ctx.params["debug"]:
                    traceback.print_exception(error)
                if interruptions.received:
                    ctx.exit(interruptions.received.exit_code)
                say(f"{self.name}: {error}")
                ctx.exit(error.exit_code)
            except BrokenPipeError:
                forsake_standard_output()
                ctx.exit(_BROKEN_PIPE)
            except Interrupted as interrupted:
                ctx.exit(interrupted.exit_code)


class Commands(Program):
    """Imports a command when it is asked for: each is ``command`` in a module of its own.

    Parameters
    ----------
    package : str
        Where the modules are, such as ``"edge.cli"``.
    names : sequence of str
        Names of commands and modules, in the order of the help.
    """

    def __init__(self, *args: Any, package: str, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package, self._names = package, tuple(names)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands in the order of the help."""
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in self._names:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command


@contextmanager
def only_our_lines(verbose: bool = False) -> Iterator[TextIO]:
    """Drop all that is written to both outputs while the block runs, but for what goes to the stream that it gives.

    Native libraries write to the process's standard error, past Python and past any log level.

    Parameters
    ----------
    verbose : bool
        Drop nothing.

    Yields
    ------
    text stream
        Standard error as it was, for what a person shall see.
    """
    if verbose:
        yield sys.stderr
        return
    sys.stdout.flush()
    sys.stderr.flush()
    originals = {number: os.dup(number) for number in (1, 2)}
    with Path(os.devnull).open("w") as nowhere, os.fdopen(os.dup(2), "w", encoding="utf-8") as ours:
        try:
            for number in originals:
                os.dup2(nowhere.fileno(), number)
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield ours
        finally:
            for number, original in originals.items():
                os.dup2(original, number)
                os.close(original)
