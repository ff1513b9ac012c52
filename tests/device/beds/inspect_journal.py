"""Inside the guest, after a power cut: what the journal and the pictures are like, one JSON object."""

import json
import sqlite3
from pathlib import Path

import cv2

STATE = Path("/var/lib/wbc-edge")
journal = sqlite3.connect(STATE / "journal.sqlite3")
records = {record for (record,) in journal.execute("SELECT record FROM frames")}
referred = [STATE / path for (path,) in journal.execute("SELECT path FROM pictures")]
torn = [str(path) for path in referred if not path.exists() or cv2.imread(str(path)) is None]
boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
first = journal.execute(
    "SELECT min(monotonic_s) FROM frames WHERE boot_id = ? AND verdict IS NOT NULL", (boot,)
).fetchone()[0]
print(
    json.dumps(
        {
            "records": sorted(records),
            "pictures": len(referred),
            "missing_or_torn": torn,
            "integrity": journal.execute("PRAGMA integrity_check").fetchone()[0],
            "first_verdict_s": first,
        }
    )
)
