"""How often pictures that are no smear are indeterminate: blank, noise and text made here, others from folders.

    python benchmarks/not_a_smear.py [--model BUNDLE] [--um-per-px UM] [FOLDER ...]

prints one line a kind: how many pictures, the share indeterminate with its 95% interval, and the reasons.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.camera.decode import IMAGE_SUFFIXES, read_image
from edge.errors import ImageError
from edge.frame import Frame, Pixels
from edge.model import Model, open_model, shelf
from edge.pipeline import classify
from edge.result import INDETERMINATE

SIZE = (480, 640, 3)
MADE_OF_EACH = 60
LETTERS = list("abcdefghijklmnopqrstuvwxyz     ")


def blank(rng: np.random.Generator) -> Pixels:
    """Draw one colour under sensor noise."""
    return np.clip(rng.normal(0, 2, SIZE) + rng.integers(20, 250, 3), 0, 255).astype(np.uint8)


def noise(rng: np.random.Generator) -> Pixels:
    """Draw coloured noise, white to coarse."""
    coarse = cv2.GaussianBlur(rng.normal(size=SIZE).astype(np.float32), (0, 0), float(rng.uniform(0.3, 8)))
    darkest, brightest = float(coarse.min()), float(coarse.max())
    return np.asarray((coarse - darkest) * (255 / (brightest - darkest)), np.uint8)


def text(rng: np.random.Generator) -> Pixels:
    """Draw a page of writing, in ink of any dark colour."""
    page = np.full(SIZE, 255, np.uint8)
    ink = tuple(int(level) for level in rng.integers(0, 120, 3))
    font, size, weight = int(rng.integers(0, 7)), float(rng.uniform(0.4, 1.4)), int(rng.integers(1, 4))
    for line in range(20, SIZE[0], int(rng.integers(18, 44))):
        cv2.putText(page, "".join(rng.choice(LETTERS, 60)), (5, line), font, size, ink, weight)
    return page


def pictures(folder: Path) -> Iterator[Pixels]:
    """Read a folder's pictures, at most 1280 pixels wide."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            try:
                picture = read_image(path)
            except ImageError as error:
                print(f"left out: {error}")
                continue
            scale = min(1.0, 1280 / picture.shape[1])
            yield cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def report(kind: str, shown: Iterator[Pixels], um_per_px: float, model: Model) -> None:
    """Classify and print one line."""
    results = [classify(Frame(picture, kind, 0, um_per_px, 0.0, 0.0), model) for picture in shown]
    refused = sum(result.verdict == INDETERMINATE for result in results)
    n = max(1, len(results))
    # Wilson's interval, since shares near 1 of few pictures are what is measured here.
    share, z = refused / n, 1.96
    middle, half = share + z**2 / 2 / n, z * np.sqrt(share * (1 - share) / n + z**2 / 4 / n**2)
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    reasons = Counter(result.reason if result.reason else f"called {result.verdict}" for result in results)
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    print(f"{kind:12} {len(results):4} pictures  {share:6.1%} indeterminate ({low:.1%} to {high:.1%}): {said}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--um-per-px", type=float, default=0.5)
    arguments = parser.parse_args()
    model = open_model(shelf.find(arguments.model))
    for kind in (blank, noise, text):
        rng = np.random.default_rng(1)
        report(kind.__name__, (kind(rng) for _ in range(MADE_OF_EACH)), arguments.um_per_px, model)
    for folder in arguments.folders:
        report(folder.name, pictures(folder), arguments.um_per_px, model)


if __name__ == "__main__":
    main()
