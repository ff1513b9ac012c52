"""Which model the service judges by: the one in force, or one before it when that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.config import Config
from edge.errors import BundleCorrupt, BundleError, OutputError, RuntimeUnavailable, WbcError
from edge.model import Model, shelf
from edge.model.store import Store


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
    events : tuple of str
        What is to be logged of how it was found, a sentence each.
    """

    model: Model
    name: str
    why: str
    events: tuple[str, ...] = ()


class Models:
    """Finds the model to judge by, and another when it fails.

    A model that the configuration names is used or none is: somebody wants that one. Else it is the one in force; one
    that cannot be loaded, or fails in use, is left for the one before it and at last for the one that ships, and that
    stays so until somebody puts another in force.

    Parameters
    ----------
    store : Store
        The device's models.
    load : callable
        Loads and proves the bundle at a path; raises a ``WbcError`` when it must not be used.
    """

    def __init__(self, store: Store, load: Callable[[Path, Config], Model]) -> None:
        self._store, self._load = store, load

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
        if settings.model:
            return Opened(self._load(shelf.find(settings.model, self._store.folder), settings), "", "")
        return self._first(self._store.candidates(), settings)

    def after(self, failed: Opened, error: BundleError, settings: Config) -> Opened:
        """Load what takes the place of a model that failed in use.

        Parameters
        ----------
        failed : Opened
            The model.
        error : BundleError
            How it failed.
        settings : Config
            The configuration in force.

        Returns
        -------
        Opened
            Another model.

        Raises
        ------
        BundleError
            When there is none to take its place; it is the failure.
        """
        others = [name for name in self._store.candidates() if name != failed.name]
        if not failed.name or not others:
            raise error
        return self._first(others, settings, error)

    def _first(self, names: Sequence[str], settings: Config, problem: WbcError | None = None) -> Opened:
        """Load the first that can be used; a problem, here or before, is why the others are left for it."""
        events = [f"a model failed: {problem}"] if problem else []
        for name in names:
            try:
                model = self._load(shelf.find(name, self._store.folder), settings)
            except (BundleError, RuntimeUnavailable) as error:
                problem = problem or error
                events.append(f"{name} cannot be used: {error}")
                continue
            if problem is None:
                return Opened(model, name, *self._reason())
            events.append(f"rolled back to {model.bundle.identity}")
            try:
                self._store.fall_back(name, str(problem))
            except OutputError as error:
                events.append(f"that could not be kept: {error}")
            return Opened(model, name, str(problem), tuple(events))
        assert problem is not None  # for the type checker: there is always the one that ships
        raise problem

    def _reason(self) -> tuple[str, tuple[str, ...]]:
        """Say why the one in force is, if that was no person's choice, and whether that could not be read."""
        try:
            return self._store.activated().why, ()
        except BundleCorrupt as error:
            return str(error), (str(error),)
