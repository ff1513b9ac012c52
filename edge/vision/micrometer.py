"""Size of a pixel from a scale with known pitch: a stage micrometer, whose lines lie at any angle.

The lines' direction is found by the structure tensor (Bigun and Granlund 1987), the picture summed up along them, the
pitch taken from the profile's autocorrelation, and then refined by a straight line through the positions of all lines,
whose slope has a standard error.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels

LEAST_LINES = 5

_WIDEST_PX = 1600
_BINS_PER_PX = 2
_LEAST_CORRELATION = 0.3
_CONFIDENCE = 1.96
_STEPS_RAD = (0.02, 0.005, 0.001)
_OWN_ERROR = 2e-4
"""Of the method, on simulated scales at any angle, beyond the scatter of the lines."""


class MeasuredScale(NamedTuple):
    """A pixel size with its interval.

    Attributes
    ----------
    um_per_px : float
        Size of a pixel, micrometres.
    low, high : float
        Interval of 95%, micrometres.
    marks : int
        Number of lines, or of cells, that it rests on.
    """

    um_per_px: float
    low: float
    high: float
    marks: int


def measure(pixels: Pixels, pitch_um: float) -> MeasuredScale | None:
    """Measure the size of a pixel from a picture of a stage micrometer.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR; lines over much of it, at any angle.
    pitch_um : float
        Distance of neighbouring lines, micrometres; 10 as a rule.

    Returns
    -------
    MeasuredScale or None
        None when there are no lines in even distances, or fewer than five.
    """
    gray = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.float32)
    reduction = max(1, math.ceil(gray.shape[1] / _WIDEST_PX))
    small = np.asarray(
        cv2.resize(gray, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA), np.float32
    )
    # Uneven light is no line.
    small -= np.asarray(cv2.blur(small, (small.shape[1] // 3 + 1,) * 2), np.float32)
    profile = _profile(small, _sharpest(small, _across(small)))
    period = _period(profile)
    if period is None:
        return None
    fitted = _fit(profile, period)
    if fitted is None:
        return None
    bins, error_bins, count = fitted
    to_um = pitch_um * _BINS_PER_PX / reduction
    um_per_px = to_um / bins
    # Of Student's t with two degrees less than lines, near enough.
    confidence = _CONFIDENCE + 2.5 / (count - 2)
    interval = math.hypot(confidence * error_bins / bins, _OWN_ERROR) * um_per_px
    return MeasuredScale(um_per_px, um_per_px - interval, um_per_px + interval, count)


def _across(image: NDArray[np.float32]) -> float:
    """Find the direction across the lines, radians from the rows."""
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
    dx, dy = cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
    xx, yy, xy = float((dx * dx).sum()), float((dy * dy).sum()), float((dx * dy).sum())
    return 0.5 * math.atan2(2 * xy, xx - yy)


def _sharpest(image: NDArray[np.float32], angle: float) -> float:
    """Turn an angle, radians, by small steps to where lines summed up along it stand out most."""
    best = float(np.var(_profile(image, angle)))
    for step in _STEPS_RAD:
        for way in (step, -step):
            while (found := float(np.var(_profile(image, angle + way)))) > best:
                best, angle = found, angle + way
    return angle


def _profile(image: NDArray[np.float32], angle: float) -> NDArray[np.float64]:
    """Average along the lines, in bins of half a pixel across them; where few pixels lie it is 0, the mean."""
    height, width = image.shape
    x = np.arange(width, dtype=np.float64) * math.cos(angle)
    y = np.arange(height, dtype=np.float64) * math.sin(angle)
    place = np.rint((x[None, :] + y[:, None]) * _BINS_PER_PX).astype(np.int64)
    place -= place.min()
    count = np.bincount(place.ravel())
    total = np.bincount(place.ravel(), image.ravel())
    mean: NDArray[np.float64] = np.where(count > 0.25 * count.max(), total / np.maximum(count, 1), 0.0)
    # Bins are unevenly filled: what alternates between neighbours is no line.
    return np.convolve(mean, np.ones(3) / 3, mode="same")


def _period(profile: NDArray[np.float64]) -> float | None:
    """Find the pitch by the first high peak of the autocorrelation, in bins."""
    centred = profile - profile.mean()
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(centred) // 2]
    # Farther apart fewer bins overlap.
    correlation = correlation / np.arange(len(centred), len(centred) - len(correlation), -1)
    if correlation[0] <= 0:
        return None
    correlation = correlation / correlation[0]
    below = np.flatnonzero(correlation < 0)
    if not len(below):
        return None
    rest = correlation[below[0] :]
    highest = float(rest.max(initial=0.0))
    if highest < _LEAST_CORRELATION:
        return None
    peaks = np.flatnonzero((rest[1:-1] >= rest[:-2]) & (rest[1:-1] > rest[2:]) & (rest[1:-1] > 0.7 * highest)) + 1
    return float(below[0] + peaks[0]) if len(peaks) else None


def _fit(profile: NDArray[np.float64], period: float) -> tuple[float, float, int] | None:
    """Put a straight line through the lines' positions: pitch and its standard error in bins, number of lines."""
    # Dark lines or bright ones: whichever stands out more.
    sign = 1.0 if profile.max() > -profile.min() else -1.0
    signal = sign * profile
    reach = max(2, round(period / 4))
    found = []
    # A line at the rim is seen in part.
    rim = max(reach, round(period / 2))
    for peak in range(rim, len(signal) - rim):
        window = signal[peak - reach : peak + reach + 1]
        if signal[peak] < 0.4 * signal.max() or signal[peak] < window.max():
            continue
        weights = np.clip(window - 0.3 * signal[peak], 0, None)
        found.append(peak + float((weights * np.arange(-reach, reach + 1)).sum() / weights.sum()))
    positions = np.array(found)
    if len(positions) < LEAST_LINES:
        return None
    steps = np.rint(np.diff(positions) / period)
    numbers = np.concatenate([[0.0], np.cumsum(steps)])
    keep = np.concatenate([[True], steps > 0])
    numbers, positions = numbers[keep], positions[keep]
    if len(positions) < LEAST_LINES:
        return None
    (slope, _), covariance = np.polyfit(numbers, positions, 1, cov=True)
    residual = positions - np.polyval(np.polyfit(numbers, positions, 1), numbers)
    if float(np.std(residual)) > 0.15 * period:
        return None
    return float(slope), float(math.sqrt(covariance[0][0])), len(positions)
