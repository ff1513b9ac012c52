"""The log of what was seen and said: an SQLite file, the pictures beside it, and the ways out of it."""

from __future__ import annotations

from edge.journal.location import calibration_path, default_path
from edge.journal.records import EventRecord, FrameRecord, Review, SampleRecord
from edge.journal.store import Journal

__all__ = ["EventRecord", "FrameRecord", "Journal", "Review", "SampleRecord", "calibration_path", "default_path"]
