"""Whether a bundle is still what it was when it was made: whole, decides here as there, and on fields of one's own."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from convert import novelty, parity
from convert.errors import QuantizationRefused
from convert.fields import Fields
from convert.parity import Budget, Comparison, Figures
from edge.errors import WbcError
from edge.model import Execution, selftest, signature, trial
from edge.model import runtime as _runtime
from edge.model.bundle import Bundle
from edge.model.description import Kind


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A type of a bundle, tested with a runtime.

    Attributes
    ----------
    kind, runtime : str
        Type of the network, and what ran it.
    difference : float
        Largest difference of a logit from the golden ones; 0 is bit for bit.
    problem : str
        Why it failed; else empty.
    exit_code : int
        Of the failure; else 0.
    """

    kind: Kind
    runtime: str
    difference: float = 0.0
    problem: str = ""
    exit_code: int = 0


def selftests(bundle: Bundle) -> Iterator[Checked]:
    """Check a bundle's signature, if it has one, and run each type's self-test with every runtime that is installed.

    Parameters
    ----------
    bundle : Bundle
        As read from a file.

    Yields
    ------
    Checked
        One for each type and runtime.

    Raises
    ------
    BundleCorrupt
        When the signature is not of these parts.
    """
    if bundle.signature is not None:
        signature.verify(bundle.signature, bundle.sums, str(bundle.path))
    path = bundle.path
    assert path is not None
    for kind, network in bundle.networks.items():
        for name in _runtime.installed():
            try:
                trial.run(path, kind=kind, execution=Execution(name))
                loaded = _runtime.load(network, len(bundle.description.classes), runtime=name)
                difference = selftest.check(bundle, loaded, kind)
            except WbcError as error:
                yield Checked(kind=kind, runtime=name, problem=str(error), exit_code=error.exit_code)
                continue
            yield Checked(kind=kind, runtime=loaded.name, difference=difference)


def on_fields(bundle: Bundle, fields: Fields) -> dict[Kind, Comparison]:
    """Compare the types of a bundle on labelled fields, with its most exact type.

    Parameters
    ----------
    bundle : Bundle
        As read.
    fields : Fields
        Cut as it cuts them.

    Returns
    -------
    dict of str to Comparison
        Each type against float32, or else float16, or else the first: the trained network is not in a bundle.
    """
    classes = bundle.description.classes
    exact = next((kind for kind in ("float32", "float16") if kind in bundle.networks), next(iter(bundle.networks)))
    runtimes = {kind: _runtime.load(network, len(classes)) for kind, network in bundle.networks.items()}
    found = {kind: runtime.run(fields.tiles) for kind, runtime in runtimes.items()}
    order = sorted(found, key=lambda kind: kind != exact)
    return {
        kind: parity.compare(
            runtimes[kind].name,
            found[exact].logits,
            found[kind].logits,
            novelty.of_fields(found[kind].embeddings, fields.owners, bundle.novelty_mean, bundle.novelty_whitening),
            fields,
            bundle.description.decision,
            classes,
        )
        for kind in order
    }


def refusal(found: dict[Kind, Comparison], budget: Budget) -> QuantizationRefused | None:
    """Say what a type loses against the first, beyond a budget; a type that is alone loses nothing to itself."""
    exact, *others = found.items()
    for kind, comparison in others:
        if refused := parity.refusal(kind, comparison.whole, exact[1].whole, budget):
            return refused
    return None


def broken_promise(
    kind: Kind, found: Figures, promised: Figures, max_accuracy_drop: float
) -> QuantizationRefused | None:
    """Say whether a type is less accurate on fields, or on tiles, than it was on those of its conversion.

    Parameters
    ----------
    kind : str
        The type.
    found, promised : Figures
        On the fields at hand, and when the bundle was made.
    max_accuracy_drop : float
        Largest loss.

    Returns
    -------
    QuantizationRefused or None
        None when it keeps what it promised.
    """
    for unit, count, now, then in (
        ("fields", found.fields, found.accuracy, promised.accuracy),
        ("tiles", found.tiles, found.tile_accuracy, promised.tile_accuracy),
    ):
        if parity.exceeds(then - now, max_accuracy_drop):
            why = f"has an accuracy of {100 * now:.1f}% on {count} {unit}, and of {100 * then:.1f}% when it was made"
            return QuantizationRefused(
                f"the {kind} network", why, f"At most {100 * max_accuracy_drop:g} points less are allowed"
            )
    return None
