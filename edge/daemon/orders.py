"""What other threads ask of the service, and how they hear what came of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from edge.errors import WbcError
from edge.model import Model

Asked = Literal["frame", "start", "finish", "reload", "model"]


class Errand(Protocol):
    """What belongs to a shot: for which sample it is, and who is told what came of it."""

    @property
    def sample(self) -> str | None:
        """Its sample; None is the one that is open, or a new one."""
        ...

    def done(self, reply: dict[str, Any]) -> None:
        """Hear that it is done and logged."""
        ...

    def failed(self, error: WbcError) -> None:
        """Hear that it came to nothing, which is logged too."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Something that another thread wants done; itself the :class:`Errand` of a frame.

    Attributes
    ----------
    what : str
        ``frame``, ``start`` or ``finish`` a sample, ``reload`` the configuration, judge by another ``model``.
    sample : str or None
        Which sample.
    who : str
        On whose behalf; empty where nobody knows.
    model : Model or None
        Which model.
    reply : Future
        Is given what came of it.
    """

    what: Asked
    sample: str | None = None
    who: str = ""
    model: Model | None = None
    reply: Future[dict[str, Any]] = field(default_factory=Future)

    def done(self, reply: dict[str, Any]) -> None:
        """Give whoever asked the reply."""
        self.reply.set_result(reply)

    def failed(self, error: WbcError) -> None:
        """Give whoever asked the error."""
        self.reply.set_exception(error)
