"""How fast the trainer trains: images a second beside a plain Keras loop, and the share of time spent waiting for data.

    python benchmarks/training_speed.py [--steps 100] [--batch 96] [--precision float32] [--cells 4000]

KERAS_BACKEND chooses what computes. The plain loop is ``Model.fit`` on batches that lie ready in memory: what the
device could do if data cost nothing. Both train the deployed network; augmentation, restaining too, is the trainer's
own. The tiles are noise, which costs as much as cells.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import keras
import numpy as np

from trainer.cells import Cells
from trainer.learning import Surroundings, train
from trainer.manifest import LabelledField
from trainer.networks import NETWORKS
from trainer.sampling import Batches
from trainer.settings import Settings

CLASSES = ("ALL", "MM", "normal")
LARGER = 1.5


class Clock:
    """Times of the steps that progress was told of."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, _stage: str, _done: int, _of: int) -> None:
        """Note a step."""
        self.times.append(time.perf_counter())

    @property
    def step_s(self) -> float:
        """Median time of a step, without the first ones, which compile."""
        return float(np.median(np.diff(self.times[3:])))


class Ticking(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells a clock of each step."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note a step."""
        del batch, logs
        self._clock("", 0, 0)


class Ready(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches that lie ready in memory."""

    def __init__(self, made: list[tuple[np.ndarray, np.ndarray]], steps: int) -> None:
        super().__init__(workers=1)
        self._made, self._steps = made, steps

    def __len__(self) -> int:
        """Return the number of steps."""
        return self._steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Give a batch that was made before."""
        return self._made[index % len(self._made)]


def noise(count: int, side_px: int) -> Cells:
    """Make cells of two laboratories."""
    rng = np.random.default_rng(0)
    sources = tuple(
        LabelledField(Path(f"{number}.png"), label, f"{lab}{label}", lab, 0.5)
        for number, (label, lab) in enumerate((label, lab) for label in CLASSES for lab in "ab")
    )
    fields = rng.integers(0, len(sources), count)
    labels = np.array([CLASSES.index(source.label) for source in sources])[fields]
    tiles = rng.integers(60, 240, (count, side_px, side_px, 3), dtype=np.uint8)
    return Cells(tiles, labels, fields, CLASSES, sources)


def device() -> str:
    """Name what computes."""
    found = keras.distribution.list_devices() if keras.backend.backend() != "torch" else []
    return ", ".join(found) or platform.processor() or platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--cells", type=int, default=4000)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    settings = Settings(steps=arguments.steps, batch=arguments.batch, precision=arguments.precision)
    cells = noise(arguments.cells, round(settings.tile_px * LARGER))

    batches = Batches(cells, settings.tile_px, settings.batch, 8, settings.augmentation, 0)
    begun_s = time.perf_counter()
    made = [batches[index] for index in range(8)]
    making_s = (time.perf_counter() - begun_s) / len(made)

    whole = Clock()
    train(cells, settings, "training", Surroundings(progress=whole))

    keras.config.set_dtype_policy(arguments.precision)
    network = NETWORKS[settings.network](settings.tile_px, len(CLASSES))
    plain = keras.Model(network.input, network.outputs[0])
    plain.compile(optimizer="adamw", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    bare = Clock()
    plain.fit(Ready(made, arguments.steps), epochs=1, verbose=0, callbacks=[Ticking(bare)])

    print(f"{keras.backend.backend()} on {device()}, {arguments.precision}, batches of {settings.batch}")
    print(f"trainer        {settings.batch / whole.step_s:8.0f} images/s")
    print(f"plain Keras    {settings.batch / bare.step_s:8.0f} images/s")
    print(f"batches alone  {settings.batch / making_s:8.0f} images/s, one thread")
    print(f"waiting for data: {max(0.0, 1 - bare.step_s / whole.step_s):.0%} of the time at most")


if __name__ == "__main__":
    main()
