"""A model that was never run here is opened in another process first, which may crash or hang without harm.

The runtime checks much of a network and not all of it: a damaged or foreign one can end the process that loads it, and
no exception is raised then. What ships with wbc-edge and what was installed have been through it, and open at once.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec

from edge import apart, errors
from edge.errors import SelfTestFailed, WbcError
from edge.model import Execution, Model, open_model, shelf
from edge.model.description import Kind

TIMEOUT_S = 45.0
"""Far over what any self-test takes, and below the patience of the service's watchdog."""

_DEFAULT = Execution()


def open_known(
    path: Path, installed: Path, *, execution: Execution = _DEFAULT, trusted_keys: Sequence[str] = ()
) -> Model:
    """Open a model; one that this device does not know yet is tried first.

    Parameters
    ----------
    path : Path
        The ``.wbc`` file.
    installed : Path
        Folder of the models that were tried when they were installed.
    execution, trusted_keys
        As of :func:`edge.model.open_model`.

    Returns
    -------
    Model
        Ready to classify.

    Raises
    ------
    BundleError, RuntimeUnavailable
        As :func:`edge.model.open_model` does.
    SelfTestFailed
        When it crashes or hangs as well.
    """
    if not shelf.is_known(path, installed):
        run(path, execution=execution, trusted_keys=trusted_keys)
    return open_model(path, execution=execution, trusted_keys=trusted_keys)


def run(
    path: Path, *, kind: Kind | None = None, execution: Execution = _DEFAULT, trusted_keys: Sequence[str] = ()
) -> None:
    """Open a model on the processor in another process, self-test and all.

    What the runtime refuses there is not tried here: what it reads of a damaged network, and with what end, may differ
    from one process to the next.

    Parameters
    ----------
    path, kind, execution, trusted_keys
        As of :func:`edge.model.open_model`.

    Raises
    ------
    BundleError, RuntimeUnavailable
        As :func:`edge.model.open_model` does, but for other decisions than where it was made: to see which is harmless.
    SelfTestFailed
        When that process crashes or hangs.
    """
    settings = [execution.runtime or "", str(execution.threads), str(execution.batch)]
    tried = apart.run("edge.model.trial", [str(path.absolute()), kind or "", *settings, *trusted_keys], TIMEOUT_S)
    if tried.problem:
        raise SelfTestFailed(
            f"bundle {path}",
            f"a process that tried its {kind + ' ' if kind else ''}network {tried.problem}",
            "Do not use it on this device; try another runtime, or convert it again",
        )
    if tried.output:
        name, *said = msgspec.json.decode(tried.output, type=tuple[str, str, str, str])
        raise getattr(errors, name)(*said)


def main() -> None:
    """Open the model that the arguments name; write its refusal, if any, as JSON."""
    # A crash is nothing unexpected here; a core dump of it would fill the card.
    with suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Should nobody be left to end it.
    faulthandler.dump_traceback_later(2 * TIMEOUT_S, exit=True)
    path, kind, runtime, threads, batch, *keys = sys.argv[1:]
    execution = Execution(runtime or None, int(threads), int(batch))
    try:
        open_model(Path(path), kind=cast("Kind", kind) or None, execution=execution, trusted_keys=keys)
    except SelfTestFailed:
        return
    except WbcError as error:
        said = (type(error).__name__, error.what, error.why, error.remedy)
        sys.stdout.buffer.write(msgspec.json.encode([text.encode("utf-8", "replace").decode() for text in said]))


if __name__ == "__main__":
    main()
