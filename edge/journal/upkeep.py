"""What keeps a journal well over years: space given back to the disk, and a look now and then at every page."""

from __future__ import annotations

from edge.journal.store import Journal

_WORTH_IT = 0.25
_INCREMENTAL = 2


def compact(journal: Journal, pages: int = 256) -> int:
    """Give some of the space of deleted rows back to the disk; little enough to be done between two frames.

    A journal that was begun before this was possible is rewritten once, when a quarter of it or more is unused.

    Parameters
    ----------
    journal : Journal
        Open for writing.
    pages : int
        At most so many pages, of 4 KiB as a rule.

    Returns
    -------
    int
        Number of pages given back; to be called again until it is 0.

    Raises
    ------
    JournalError
        When it cannot be written; it is as it was then.
    """
    with journal.maintenance() as connection:

        def number(pragma: str) -> int:
            return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])

        unused = number("freelist_count")
        if number("auto_vacuum") == _INCREMENTAL:
            # It frees a page a step: all of them are to be fetched.
            connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        elif unused > max(pages, _WORTH_IT * number("page_count")):
            connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            connection.execute("VACUUM")
        return unused - number("freelist_count")


def last_event_s(journal: Journal, kind: str | None = None) -> float | None:
    """Say when an event was last logged.

    Parameters
    ----------
    journal : Journal
        The journal.
    kind : str, optional
        Of this kind only.

    Returns
    -------
    float or None
        Seconds since the Unix epoch, as the wall clock said; None when there was none.
    """
    with journal.maintenance() as connection:
        row = connection.execute(
            "SELECT wall_time_s FROM events WHERE :kind IS NULL OR kind = :kind ORDER BY event DESC LIMIT 1",
            {"kind": kind},
        ).fetchone()
    return None if row is None else float(row["wall_time_s"])


def last_detail(journal: Journal, kind: str) -> str | None:
    """Say what the last event of a kind said; None when there was none.

    Parameters
    ----------
    journal : Journal
        The journal.
    kind : str
        The kind.
    """
    with journal.maintenance() as connection:
        row = connection.execute(
            "SELECT detail FROM events WHERE kind = ? ORDER BY event DESC LIMIT 1", (kind,)
        ).fetchone()
    return None if row is None else str(row["detail"])
