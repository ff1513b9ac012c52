"""Is this device fit for work? What is installed, what answers, what is about to fail, and what to do about it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Literal

from edge import __version__, board, durable
from edge.camera import Camera, CameraSettings, attached_cameras, open_camera
from edge.camera.guard import BackOff, GuardedCamera
from edge.errors import BundleError, JournalError, WbcError
from edge.journal import Journal
from edge.model import Execution, selftest, signature, trial
from edge.model.runtime import installed
from edge.model.store import Store

_ON_THE_PROCESSOR = Execution()
_PACKAGES = ("numpy", "opencv-python-headless", "msgspec", "click", "rich", "ai-edge-litert", "tflite-runtime")
_EARLIEST_S = datetime(2025, 1, 1, tzinfo=timezone.utc).timestamp()
"""wbc-edge is younger: no clock that is right shows an earlier time."""

_CAMERA_TIMEOUT_S = 5.0
_ANY_UM_PER_PX = 0.1
"""A camera is not asked how large its pixels are, only whether it answers."""

_DARK_LEVEL = 16
_CABLE = "Check cable and power, and whether another program uses it"

_LITTLE_SPACE_MB, _NO_SPACE_MB = 1000, 100
_HOT_C = 80.0
"""A Raspberry Pi slows down from here on."""

_IN_MEMORY = {"tmpfs", "ramfs"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    state : str
        ``ok``, ``warning`` (works, but) or ``problem`` (does not work).
    what : str
        What was found.
    remedy : str
        What to do about it; empty when it is ok.
    """

    state: Literal["ok", "warning", "problem"]
    what: str
    remedy: str = ""


def examine(
    journal: Path,
    model: Callable[[], Path],
    store: Store,
    *,
    execution: Execution = _ON_THE_PROCESSOR,
    trusted_keys: Sequence[str] = (),
    root: Path = Path("/"),
    now_s: Callable[[], float] = time.time,
    opener: Callable[[str, CameraSettings], Camera] = open_camera,
) -> Iterator[Finding]:
    """Look at everything that a session needs; changes nothing but a file that it writes and removes.

    Takes a frame from every camera that is attached, so none of them may be at work elsewhere.

    Parameters
    ----------
    journal : Path
        The journal's file; need not exist.
    model : callable
        Finds the model's bundle; may raise a ``BundleError``.
    store : Store
        The device's models.
    execution : Execution
        How networks are run.
    trusted_keys : sequence of str
        Public keys, one of which must have signed the model.
    root : Path
        Folder below which ``sys``, ``proc`` and ``dev`` are.
    now_s : callable
        The wall clock.
    opener : callable
        Opens the camera that a specification names.

    Yields
    ------
    Finding
        As they are found.
    """
    yield from _software()
    yield from _runtimes(execution.threads)
    yield from _model(model, store.folder, execution, trusted_keys)
    yield from _choice(store)
    yield from _cameras(root / "dev", opener)
    yield from _disk(journal, root / "proc" / "mounts")
    yield from _journal(journal)
    yield from _clock(journal, now_s())
    yield from _heat(root / "sys")


def _software() -> Iterator[Finding]:
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    yield Finding("ok", f"wbc-edge {__version__}, {python}")
    yield Finding("ok", ", ".join(versions))


def _runtimes(threads: int) -> Iterator[Finding]:
    names = installed()
    if not names:
        yield Finding("problem", "no runtime is installed", "pip install ai-edge-litert")
        return
    cores = len(os.sched_getaffinity(0))
    yield Finding("ok", f"runtimes: {', '.join(names)}; threads: {threads} of {cores} cores")
    if threads > cores:
        yield Finding(
            "warning", f"{threads} threads on {cores} cores", "More threads than cores are slower: --threads 1"
        )


def _model(
    find: Callable[[], Path], folder: Path, execution: Execution, trusted_keys: Sequence[str]
) -> Iterator[Finding]:
    try:
        model = trial.open_known(find(), folder, execution=execution, trusted_keys=trusted_keys)
        difference = selftest.check(model.bundle, model.runtime, model.kind)
    except WbcError as error:
        yield _problem(error)
        return
    said = "bit for bit" if difference == 0 else f"to {difference:.3g}"
    yield Finding("ok", f"model {model.bundle.identity} passes its self-test {said} on {model.runtime.name}")
    yield Finding("ok", f"model {model.bundle.identity} is {signature.described(model.bundle.signature, trusted_keys)}")
    choice = model.runtime.choice
    model.runtime.close()
    if execution.accelerator == "gpu" and choice.accelerator == "cpu":
        yield Finding("warning", f"the model runs on the processor: {choice.why}", "Mend the GPU, or accelerator=auto")
        return
    place = "GPU" if choice.accelerator == "gpu" else "processor"
    yield Finding("ok", f"the model runs on the {place}: {choice.why}")


def _choice(store: Store) -> Iterator[Finding]:
    try:
        activated = store.activated()
    except BundleError as error:
        yield _problem(error)
        return
    in_force, *others = store.candidates()
    yield Finding("ok", f"model {in_force} is in force" + (f", before it {', '.join(others)}" if others else ""))
    if activated.why:
        remedy = "Install a better one, or `wbc-edge model activate` the one in force to be content with it"
        yield Finding("warning", f"model {in_force} took the place of another: {activated.why}", remedy)


def _cameras(devices: Path, opener: Callable[[str, CameraSettings], Camera]) -> Iterator[Finding]:
    found = attached_cameras(devices)
    if not found:
        yield Finding("warning", "no camera is attached", "Plug one in; --camera sim works without")
    for camera in found:
        name = f"camera {camera.specification} ({camera.description})"
        if camera.problem is not None:
            yield Finding("warning", name, camera.problem)
            continue
        try:
            yield _answer(name, camera.specification, opener)
        except WbcError as error:
            yield Finding("warning", f"{name} does not answer: {error.why or error.what}", error.remedy or _CABLE)


def _answer(name: str, specification: str, opener: Callable[[str, CameraSettings], Camera]) -> Finding:
    settings = CameraSettings(um_per_px=_ANY_UM_PER_PX, allow_other_size=True, timeout_s=_CAMERA_TIMEOUT_S)
    with closing(GuardedCamera(specification, settings, BackOff(attempts=0), opener)) as camera:
        frame = camera.read()
    height, width = frame.pixels.shape[:2]
    said = f"{name} answers: {width}x{height} in {frame.capture_ms:.0f} ms"
    if int(frame.pixels.max()) < _DARK_LEVEL:
        return Finding("warning", f"{said}, and the picture is black", "Switch on the lamp, and open shutter and cap")
    if (width, height) != settings.size_px:
        asked = "x".join(map(str, settings.size_px))
        return Finding("warning", f"{said}, asked for {asked}", f"Capture with --size {width}x{height}")
    return Finding("ok", said)


def _disk(journal: Path, mounts: Path) -> Iterator[Finding]:
    folder = next(place for place in journal.absolute().parents if os.access(place, os.F_OK))
    probe = folder / f".wbc-edge-{os.getpid()}.part"
    try:
        durable.begin(probe).close()
        probe.unlink()
    except OSError as error:
        why = error.strerror or str(error)
        yield Finding(
            "problem", f"{folder} cannot be written: {why}", "Give this user access, or name another --journal"
        )
        return
    disk = os.statvfs(folder)
    free_mb = disk.f_bavail * disk.f_frsize / 1e6
    state: Literal["ok", "warning", "problem"] = "ok"
    if free_mb < _LITTLE_SPACE_MB:
        state = "problem" if free_mb < _NO_SPACE_MB else "warning"
    remedy = "" if state == "ok" else "Free some space: a frame takes some kilobytes, a picture a megabyte or more"
    yield Finding(state, f"{folder} can be written, {free_mb:,.0f} MB are free", remedy)
    if _is_in_memory(folder, mounts):
        yield Finding("warning", f"{folder} is in memory: a restart loses the journal", "Name a --journal on a disk")


def _is_in_memory(folder: Path, mounts: Path) -> bool:
    try:
        lines = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return False
    above = [fields for fields in lines if len(fields) > 3 and folder.resolve().is_relative_to(fields[1])]
    if not above:
        return False
    # The longest is the nearest; of two on one place, the later lies on top.
    _, _, kind, options, *_ = max(enumerate(above), key=lambda each: (len(each[1][1]), each[0]))[1]
    if kind == "overlay":
        # A Raspberry Pi with an overlay file system keeps what is written in memory.
        upper = [option.partition("=")[2] for option in options.split(",") if option.startswith("upperdir=")]
        others = [fields for fields in lines if len(fields) > 3 and fields[2] != "overlay"]
        return any(
            fields[2] in _IN_MEMORY and Path(place).is_relative_to(fields[1]) for place in upper for fields in others
        )
    return kind in _IN_MEMORY


def _journal(path: Path) -> Iterator[Finding]:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        yield Finding("ok", f"journal {path}: none yet")
        return
    except OSError as error:
        yield Finding("problem", f"journal {path}: {error.strerror or error}", "Name another --journal")
        return
    try:
        with Journal.open_read_only(path) as journal:
            wrong = journal.check()
            samples = journal.samples()
    except JournalError as error:
        yield _problem(error)
        return
    if wrong:
        remedy = "Move it aside to go on, and recover its rows with `sqlite3 FILE .recover`"
        yield Finding("problem", f"journal {path} is damaged: {wrong[0]}", remedy)
        return
    frames = sum(sample.frames for sample in samples)
    yield Finding("ok", f"journal {path} is sound: {len(samples)} samples, {frames} frames")


def _clock(path: Path, now_s: float) -> Iterator[Finding]:
    shown = f"{datetime.fromtimestamp(now_s, timezone.utc):%Y-%m-%d %H:%M} UTC"
    if now_s < _EARLIEST_S:
        yield Finding("problem", f"the clock is wrong: {shown}", "Set it: sudo timedatectl set-ntp true, or date --set")
        return
    newest_s = 0.0
    try:
        with Journal.open_read_only(path) as journal:
            newest_s = max((record.result.wall_time_s for record in journal.frames(limit=1)), default=0.0)
    except JournalError:
        pass  # its own finding says so
    if newest_s > now_s:
        yield Finding("warning", f"the clock is behind the last frame logged: {shown}", "Check date and time zone")
    else:
        yield Finding("ok", f"the clock says {shown}")


def _heat(system: Path) -> Iterator[Finding]:
    hottest_c = board.temperature_c(system)
    if hottest_c is not None:
        hot = hottest_c >= _HOT_C
        remedy = "It slows down to save itself: give it a heat sink or a fan" if hot else ""
        yield Finding("warning" if hot else "ok", f"the processor is at {hottest_c:.0f} degrees Celsius", remedy)
    for said in board.throttling(system):
        yield Finding("warning", said, "Use the power supply made for it, and cool it")


def _problem(error: WbcError) -> Finding:
    return Finding("problem", f"{error.what}: {error.why}" if error.why else error.what, error.remedy)
