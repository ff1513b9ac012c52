"""The device's own models: installed once they are proven here, switched in one step, and gone back from.

The models that were activated stand in one small file, the newest last: it is the one in force, those before it are
what is gone back to, and without any it is the model that ships with wbc-edge. The file is replaced in one step, so
that a power cut leaves the choice of before or the new one. Installed models are named after their content,
``NAME@DIGEST``: a new one never takes the place of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from edge import durable
from edge.errors import BundleCorrupt, BundleNotFound, ModelInUse, OutputError, WbcError
from edge.model import Model, shelf
from edge.model.bundle import SUFFIX

_FILE = "activated.json"
_MOST = 8
"""Models that can be gone back to; who goes back further names one."""

_PART = ".incoming.part"
_LOCK_TIMEOUT_S = 20.0
"""A service must not wait for ever for somebody who installs."""

_MODE = 0o644
"""Who changes the models may be another user than the one that uses them."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[^/\x00]{1,200}\Z")]
"""Name of a model's file without its suffix."""


class Activated(msgspec.Struct, frozen=True, kw_only=True):
    """Which models were put in force.

    Attributes
    ----------
    names : tuple of str
        Models, the one in force last; empty: the one that ships with wbc-edge.
    why : str
        Why the one in force took the place of another that failed; empty when a person chose it.
    """

    names: tuple[Name, ...] = ()
    why: str = ""


class Store:
    """The folder of the device's models.

    Parameters
    ----------
    folder : Path
        The folder; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def activated(self) -> Activated:
        """Read which models were put in force.

        Raises
        ------
        BundleCorrupt
            When the file that says so cannot be read; see :meth:`candidates` for what then is to be used.
        """
        file = self.folder / _FILE
        try:
            return msgspec.json.decode(file.read_bytes(), type=Activated)
        except (FileNotFoundError, NotADirectoryError):
            return Activated()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            remedy = "`wbc-edge model activate NAME` writes it anew"
            raise BundleCorrupt(f"choice of the model {file}", why, remedy) from error

    def candidates(self) -> list[str]:
        """Name the models to use: the one in force, and what to go back to when it fails, the one that ships last."""
        try:
            names = self.activated().names
        except BundleCorrupt:
            names = ()
        return list(dict.fromkeys([*reversed(names), shelf.DEFAULT]))

    @property
    def in_force(self) -> str:
        """Name of the model in force."""
        return self.candidates()[0]

    def install(self, file: Path, prove: Callable[[Path], Model]) -> Path:
        """Copy a bundle into the folder, once the copy is proven; it is not in force yet.

        Parameters
        ----------
        file : Path
            The bundle, anywhere.
        prove : callable
            Checks, loads and self-tests the bundle at a path; raises a ``WbcError`` when it must not be used.

        Returns
        -------
        Path
            The installed file, ``NAME@DIGEST.wbc``; one of the same content is replaced.

        Raises
        ------
        BundleNotFound
            When there is no such file.
        OutputError
            When it cannot be written; the folder is then as it was.
        WbcError
            What `prove` raises.
        """
        with self._changing():
            try:
                content = file.read_bytes()
            except OSError as error:
                why = error.strerror or str(error)
                raise BundleNotFound(f"bundle {file}", why, "Name a file NAME.wbc") from error
            if not content:
                raise BundleNotFound(f"bundle {file}", "is empty", "Name a file NAME.wbc")
            part = self.folder / _PART
            durable.write(part, content, _MODE)
            try:
                model = prove(part)
            except BaseException as error:
                part.unlink()
                if isinstance(error, WbcError):
                    # Which is gone, and which nobody named.
                    error.what = error.what.replace(str(part), str(file))
                raise
            target = self.folder / f"{model.bundle.identity}{SUFFIX}"
            part.rename(target)
            durable.sync_folder(self.folder)
        return target

    def activate(self, name: str) -> None:
        """Put a model in force; the one before can be gone back to.

        Parameters
        ----------
        name : str
            Name of its file without the suffix; the caller has proven it.

        Raises
        ------
        OutputError
            When the choice cannot be written; the one of before stays in force.
        """
        with self._changing():
            others = [each for each in reversed(self.candidates()) if each != name]
            self._write(Activated(names=tuple([*others, name][-_MOST:])))

    def roll_back(self, why: str = "") -> str:
        """Put the model in force that was so before.

        Parameters
        ----------
        why : str
            What was wrong with the one in force, when it failed.

        Returns
        -------
        str
            Name of the model now in force.

        Raises
        ------
        BundleNotFound
            When there is none before it.
        OutputError
            When the choice cannot be written.
        """
        with self._changing():
            names = self.candidates()
            if len(names) < 2:
                remedy = "`wbc-edge model activate NAME` puts another in force"
                raise BundleNotFound("rollback", "no other model was in force before", remedy)
            self._write(Activated(names=tuple(reversed(names[1:])), why=why))
        return names[1]

    def fall_back(self, name: str, why: str) -> None:
        """Leave the models that failed for one before them.

        Parameters
        ----------
        name : str
            One of :meth:`candidates`, now in force; those before it in that list are forgotten.
        why : str
            What was wrong with them.

        Raises
        ------
        OutputError
            When the choice cannot be written.
        """
        with self._changing():
            names = self.candidates()
            # Somebody may have put another in force meanwhile, which is not the one that failed.
            if name in names[1:]:
                self._write(Activated(names=tuple(reversed(names[names.index(name) :])), why=why))

    def remove(self, name: str) -> Path:
        """Delete an installed model.

        Parameters
        ----------
        name : str
            As :func:`edge.model.shelf.find` takes it.

        Returns
        -------
        Path
            The file that was.

        Raises
        ------
        BundleNotFound
            When there is none of that name in the folder.
        ModelInUse
            When it is the one in force, or ships with wbc-edge.
        OutputError
            When it cannot be deleted.
        """
        with self._changing():
            path = shelf.find(name, self.folder)
            if path.parent == shelf.BUNDLED:
                raise ModelInUse(f"model {path.stem}", "ships with wbc-edge, and is what remains when all others fail")
            if path.parent != self.folder:
                raise BundleNotFound(f"model {name}", f"is not in {self.folder}", "Name an installed one")
            if path.stem == self.in_force:
                remedy = "Put another in force first: `wbc-edge model activate NAME`"
                raise ModelInUse(f"model {path.stem}", "is in force", remedy)
            kept = [each for each in reversed(self.candidates()) if each != path.stem]
            # First the name, then the file: a choice never names what is gone.
            if path.stem in self.candidates():
                self._write(msgspec.structs.replace(self.activated(), names=tuple(kept)))
            path.unlink()
            durable.sync_folder(self.folder)
        return path

    def _write(self, chosen: Activated) -> None:
        durable.write(self.folder / _FILE, msgspec.json.encode(chosen), _MODE)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let one process at a time change the folder."""
        try:
            durable.make_folder(self.folder)
            with durable.locked(self.folder, _LOCK_TIMEOUT_S):
                yield
        except WbcError:
            raise
        except TimeoutError as error:
            raise OutputError(f"models {self.folder}", "are being changed by another", "Try again") from error
        except OSError as error:
            remedy = "Call it with sudo, or set WBC_EDGE_MODELS to a folder of your own"
            raise OutputError(f"models {self.folder}", error.strerror or str(error), remedy) from error
