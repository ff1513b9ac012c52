"""``wbc-edge bench``: how fast this device is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import options
from edge.cli.output import say, write, write_json

if TYPE_CHECKING:
    from edge.model import Execution

EXAMPLES = """
\b
Examples:
  wbc-edge bench
  wbc-edge bench --threads 2 --json
"""


@click.command("bench", short_help="Time this device.", epilog=EXAMPLES)
@click.option("--repeats", type=click.IntRange(min=1), default=60, show_default=True, metavar="N", help="Frames timed.")
@options.option("--size", type=options.size, metavar="WxH", default="2560x1920", help="Size of the frame.")
@options.model_option
@options.execution_options
@options.journal_option
@options.json_option
def command(
    repeats: int,
    size: tuple[int, int],
    model: str | None,
    execution: Execution,
    journal: str | None,
    as_json: bool,
) -> None:
    """Time a frame from memory to its record on the journal's disk, beside the least that its parts could take."""
    from edge import bench
    from edge.journal import default_path

    options.set_threads(execution.threads)
    loaded = options.load_model(options.find_model(model), execution)
    if not as_json:
        say("Drawing a field, then judging it again and again...")
    folder = Path(journal or default_path()).absolute().parent
    figures = bench.measure(bench.simulated_frame(size), loaded, folder, threads=execution.threads, repeats=repeats)
    if as_json:
        write_json(
            {
                "frame": figures.size_px,
                "tiles": figures.tiles,
                "total_ms": figures.total_ms,
                "floor_ms": figures.floor_ms,
                "ratio": figures.ratio,
                "stages_ms": figures.stages_ms,
                "floors_ms": figures.floors_ms,
                "runtime": figures.runtime,
                "accelerator": figures.accelerator,
                "model": figures.model,
                "threads": figures.threads,
                "repeats": figures.repeats,
                "peak_memory_mb": figures.peak_memory_mb,
            }
        )
        return
    width, height = figures.size_px
    write(f"{width}x{height}, {figures.tiles} tiles; {figures.runtime}, threads: {figures.threads}; {figures.model}")
    write(f"on the {figures.accelerator}")
    write(f"median of {figures.repeats}, ms")
    for name, part in (("", figures.stages_ms), ("floor of ", figures.floors_ms)):
        for stage, ms in part.items():
            write(f"  {name + stage:<22}{ms:8.2f}")
    write(f"  {'from memory to log':<22}{figures.total_ms:8.2f}")
    write(f"  {'floors together':<22}{figures.floor_ms:8.2f}   ratio {figures.ratio:.2f}")
    write(f"  {'peak memory, MB':<22}{figures.peak_memory_mb:8.0f}")
