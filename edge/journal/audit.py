"""The audit trail: each event carries a digest of itself and of the one before, so that later tampering shows.

A row that was changed, removed from the middle, put in or moved breaks the chain there. Rows cut off at the end show by
SQLite's own count of the numbers it gave out; who changes that as well is found out by whoever kept an earlier digest,
which is what :func:`verify` takes ``expected`` for (Schneier and Kelsey 1999, "Secure audit logs to support computer
forensics").
"""

from __future__ import annotations

import getpass
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from edge import __version__
from edge.journal import chain
from edge.journal.records import boot_id, text

CHAINED = (
    "event",
    "sample",
    "frame",
    "kind",
    "detail",
    "wall_time_s",
    "monotonic_s",
    "boot_id",
    "software",
    "who",
)
"""Columns of an event that its digest covers."""

ANCHOR = ("first_record", "last_record", "frames_digest")
"""Columns by which an event holds on to the chain of frames; covered too, unless they are of before that chain."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of following the chain.

    Attributes
    ----------
    events, frames : int
        Number of events and frames that are chained.
    unchained : int
        Number of events of before the chain was begun, by a wbc-edge older than it.
    head : str
        Digest of the last event, to be kept elsewhere; empty when none is chained.
    problems : tuple of str
        What is wrong, a line each; empty when nothing shows.
    """

    events: int
    frames: int
    unchained: int
    head: str
    problems: tuple[str, ...]


def who() -> str:
    """Name the user on whose behalf this process runs, and the one who called it with sudo."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        name = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return f"{name} for {caller}" if caller and caller != name else name


def event(
    kind: str, detail: str, sample_id: int | None = None, frame: str | None = None
) -> dict[str, str | int | float | None]:
    """Make the row of an event that happens now.

    Parameters
    ----------
    kind, detail : str
        What happened, in a word or two and in a sentence.
    sample_id : int or None
        Number of the sample that it concerns.
    frame : str or None
        Name of the frame that it concerns.
    """
    return {
        "sample": sample_id,
        "frame": None if frame is None else text(frame),
        "kind": text(kind),
        "detail": text(detail),
        "wall_time_s": time.time(),
        "monotonic_s": time.monotonic(),
        "boot_id": boot_id(),
        "software": __version__,
        "who": text(who()),
    }


def append(
    connection: sqlite3.Connection, row: dict[str, str | int | float | None], gone: tuple[int, int] | None = None
) -> int:
    """Insert an event and chain it to the one before, in the transaction that is open.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal.
    row : dict
        From :func:`event`.
    gone : tuple of int, optional
        First and last record of frames, none missing between them, that are thrown away after this in the same
        transaction.

    Returns
    -------
    int
        Number of the event.
    """
    before = connection.execute("SELECT digest FROM events ORDER BY event DESC LIMIT 1").fetchone()
    first, (last, frames_digest) = None, chain.head(connection)
    if gone is not None:
        (first, last), frames_digest = gone, chain.digest_of(connection, gone[1])
    row = {**row, **dict(zip(ANCHOR, (first, last, frames_digest), strict=True))}
    columns, places = ", ".join(row), ", ".join("?" * len(row))
    number = connection.execute(f"INSERT INTO events ({columns}) VALUES ({places})", tuple(row.values())).lastrowid
    assert number is not None  # for the type checker: an INSERT that did not raise has one
    made = digest((before and before["digest"]) or "", {"event": number, **row})
    connection.execute("UPDATE events SET digest = ? WHERE event = ?", (made, number))
    return number


def digest(previous: str, event: Mapping[str, str | int | float | None]) -> str:
    """Digest an event together with the one before it.

    Parameters
    ----------
    previous : str
        Digest of the event before; empty for the first.
    event : mapping
        Its columns, at least those of :data:`CHAINED` and :data:`ANCHOR`.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    anchor = [event[column] for column in ANCHOR]
    is_anchored = any(value is not None for value in anchor)
    content = msgspec.json.encode([previous, *(event[column] for column in CHAINED), *(anchor if is_anchored else ())])
    return hashlib.sha256(content).hexdigest()


def verify(rows: Iterable[Mapping[str, str | int | float | None]], given_out: int, expected: str | None) -> Audit:
    """Follow the chain of events.

    Parameters
    ----------
    rows : iterable of mapping
        All events in the order of their numbers, with their ``digest``.
    given_out : int
        The last number that was ever given to an event.
    expected : str or None
        A digest kept elsewhere, or its beginning, that must be one of the chain's.

    Returns
    -------
    Audit
        What was found.
    """
    problems: list[str] = []
    previous, last, chained, unchained = "", 0, 0, 0
    is_found = expected is None
    for row in rows:
        number, kept = int(row["event"] or 0), row["digest"]
        if number != last + 1:
            problems.append(f"{_numbers(last + 1, number - 1)} missing")
        last = number
        if kept is None:
            unchained += 1
            if chained:
                problems.append(f"event {number} lost its digest")
            continue
        if kept != digest(previous, row):
            problems.append(f"event {number} is not as it was logged, or what came before it is not")
        # With what is there, so that each break is told once.
        previous = str(kept)
        chained += 1
        is_found = is_found or previous.startswith(str(expected))
    if last < given_out:
        problems.append(f"{_numbers(last + 1, given_out)} missing at the end")
    if not is_found:
        problems.append(f"no event has the digest {expected}")
    return Audit(chained, 0, unchained, previous, tuple(problems))


def _numbers(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"
