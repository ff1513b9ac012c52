"""Progress bars for people, one a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@contextmanager
def shown(terminal: TextIO) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each stage.

    Parameters
    ----------
    terminal : text stream
        Where; on what is no terminal only the last state is written.

    Yields
    ------
    callable
        Takes the stage's name, how much is done, and of how much.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    stages: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(file=terminal)) as bars:

        def progress(stage: str, done: int, of: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=of)
            bars.update(stages[stage], completed=done)

        yield progress
