"""What a converted network may lose, as options: the same when a bundle is made and when it is checked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edge.cli.options import Number

_Command = TypeVar("_Command", bound=Callable[..., Any])

# The defaults are those of convert.parity.Budget, which is not imported for them: --help need not wait for OpenCV.
_OPTIONS = (
    ("--min-agreement", 0.98, "Least share of fields, and of tiles, decided alike."),
    ("--max-accuracy-drop", 0.01, "Of fields, and of tiles."),
    ("--max-auroc-drop", 0.01, "Of fields."),
    ("--max-calibration-drop", 0.02, "Growth of the expected calibration error."),
)


def budget_options(command: _Command) -> _Command:
    """Give a command the options of :class:`convert.parity.Budget`."""
    for name, default, words in reversed(_OPTIONS):
        command = click.option(name, default=default, show_default=True, type=Number(0, 1), help=words)(command)
    return command
