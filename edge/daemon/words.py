"""How the service speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Say = Callable[[Literal["info", "warning", "error"], str], None]
"""Where the service's log goes."""


def said(verdict: str | None, reason: str | None) -> str:
    """Say a verdict, with its reason if it is none."""
    return f"{verdict} ({reason})" if reason else verdict or ""
