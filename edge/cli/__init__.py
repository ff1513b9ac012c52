"""The command line of the device.

This module is small, so that a signal is understood from the first moments on; :mod:`edge.cli.commands` says which
commands there are, and each is a module of its own.
"""

from __future__ import annotations

import sys

from edge.cli.signals import Interruptions


def main() -> None:
    """Run ``wbc-edge`` with the process's arguments, and end the process with its exit code."""
    interruptions = Interruptions()
    try:
        with interruptions.installed():
            from edge.cli.commands import command_line

            command_line(prog_name="wbc-edge", obj=interruptions)
    except BaseException:
        if interruptions.received:
            sys.exit(interruptions.received.exit_code)
        raise
