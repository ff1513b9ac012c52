"""Which model the service judges by: the one in force, or one before it when that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock

from edge.daemon.uses import Uses
from edge.errors import BundleCorrupt, BundleError, InferenceFailed, OutputError, RuntimeUnavailable, WbcError
from edge.model import Model, shelf
from edge.model.store import Store
from edge.settings import Config

_MOST_UNRETURNED = 2
"""Whoever kills the service may by chance do it in a frame, and hardly twice before it has judged any."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model that is ready to judge.

    Attributes
    ----------
    model : Model
        Loaded and proven.
    name : str
        Name of its file without the suffix; empty when the configuration names a model, which no other replaces.
    why : str
        Why it took the place of another; empty when it did not.
    """

    model: Model
    name: str
    why: str = ""


class Models:
    """Finds the model to judge by, and another when it fails; may be asked from any thread.

    A model that the configuration names is used or none is: somebody wants that one. Else it is the one in force; one
    that cannot be loaded, fails in use or takes the process with it twice in a row is left for the one before it and at
    last for the one that ships, and that stays so until somebody puts another in force.

    Parameters
    ----------
    store : Store
        The device's models.
    load : callable
        Loads and proves the bundle at a path; raises a ``WbcError`` when it must not be used.
    uses : Uses
        From which models processes before this one did not come back.
    """

    def __init__(self, store: Store, load: Callable[[Path, Config], Model], uses: Uses) -> None:
        self._store, self._load, self._uses = store, load, uses
        self._lock = Lock()
        self._events: SimpleQueue[str] = SimpleQueue()
        self._found: list[str] = []
        self._found_before: list[str] = []
        self._current: Opened | None = None

    @property
    def why(self) -> str:
        """Why the model that was opened last took the place of another; empty when it did not."""
        return self._current.why if self._current else ""

    def events(self) -> Iterator[str]:
        """Give what happened since it was last asked, a sentence each."""
        with suppress(Empty):
            while True:
                yield self._events.get_nowait()

    def open(self, settings: Config) -> Opened:
        """Load the model to judge by.

        Parameters
        ----------
        settings : Config
            The configuration in force.

        Returns
        -------
        Opened
            The model.

        Raises
        ------
        BundleError, RuntimeUnavailable
            When none can be used; it is the first one's failure.
        """
        with self._lock:
            try:
                if settings.model:
                    named = shelf.find(settings.model, self._store.folder)
                    self._current = Opened(self._load(named, settings), "")
                else:
                    self._current = self._first(self._store.candidates(), settings)
                return self._current
            finally:
                self._tell()

    def after(self, failed: Model, error: BundleError, settings: Config) -> Model:
        """Load what takes the place of a model that failed in use.

        Parameters
        ----------
        failed : Model
            The model.
        error : BundleError
            How it failed.
        settings : Config
            The configuration in force.

        Returns
        -------
        Model
            Another one.

        Raises
        ------
        BundleError
            When there is none to take its place; it is the failure.
        """
        with self._lock:
            if self._current is None or self._current.model is not failed:
                # Somebody has put another in force, which is on its way.
                return self._current.model if self._current else failed
            name = self._current.name
            others = [each for each in self._store.candidates() if each != name]
            if not name or not others:
                raise error
            self._found.append(f"{name} failed: {error}")
            try:
                self._current = self._first(others, settings, error)
                return self._current.model
            finally:
                self._tell()

    def judging(self, model: Model) -> AbstractContextManager[None]:
        """Judge a frame inside the block: should the process not come back from it, the next one knows by what model.

        Parameters
        ----------
        model : Model
            By which.
        """
        assert model.bundle.path is not None  # for the type checker: it was read from a file
        # As the store calls it, which is not its identity when somebody laid it into the folder.
        return self._uses.judging(model.bundle.path.stem)

    def _tell(self) -> None:
        """Pass on what was found, but once: a degraded service opens its model again and again."""
        if self._found != self._found_before:
            for event in self._found:
                self._events.put(event)
        self._found_before, self._found = self._found, []

    def _first(self, names: Sequence[str], settings: Config, problem: WbcError | None = None) -> Opened:
        """Load the first that can be used; a problem, here or before, is why the others are left for it."""
        for name in names:
            try:
                if name != names[-1]:
                    self._check_uses(name)
                with self._uses.loading(name):
                    model = self._load(shelf.find(name, self._store.folder), settings)
            except (BundleError, RuntimeUnavailable) as error:
                problem = problem or error
                self._found.append(f"{name} cannot be used: {error}")
                continue
            if problem is None:
                return Opened(model, name, self._reason())
            self._found.append(f"rolled back to {model.bundle.identity}")
            try:
                self._store.fall_back(name, str(problem))
            except OutputError as error:
                self._found.append(f"that could not be kept: {error}")
            else:
                for left in names[: names.index(name)]:
                    self._uses.forget(left)
            return Opened(model, name, str(problem))
        assert problem is not None  # for the type checker: there is always the one that ships
        raise problem

    def _check_uses(self, name: str) -> None:
        """Refuse a model that would only take this process with it as well."""
        if (unreturned := self._uses.unreturned(name)) >= _MOST_UNRETURNED:
            why = f"{unreturned} times in a row the service ended, or hung until it was ended, while it used it"
            raise InferenceFailed(f"model {name}", why)

    def _reason(self) -> str:
        """Say why the one in force is, if that was no person's choice, or could not be read."""
        try:
            return self._store.activated().why
        except BundleCorrupt as error:
            self._found.append(str(error))
            return str(error)
