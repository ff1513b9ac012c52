"""From a trained network to a bundle: convert, prove, mend if need be, pack; or refuse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert import activations, graph, mending, metadata, novelty, parity, report, tflite
from convert.errors import QuantizationRefused
from convert.parity import Budget, Comparison
from convert.report import Converted, Parity, Tried
from convert.subject import Subject
from edge.errors import OutputError
from edge.model import bundle as _bundle
from edge.model import runtime as _runtime
from edge.model import selftest
from edge.model.bundle import Bundle
from edge.model.description import Description, Kind
from edge.model.runtime import Outputs, Runtime
from edge.model.signature import Signature
from edge.verdict import softmax

SELFTEST_TILES = 12
"""Number of tiles that a device proves each network on."""

REPORT_SUFFIX = ".parity.html"

_LOOKED_THROUGH = 20 * SELFTEST_TILES
_LAYER_TILES = 24

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a conversion shall make.

    Attributes
    ----------
    kinds : tuple of str
        Types of the network.
    budget : Budget
        What each may lose.
    mend : collection of str
        Which of :data:`convert.mending.STEPS` to try when plain int8 loses more.
    sign : callable, optional
        Signs the bundle.
    report : Path, optional
        Where to write the report in HTML, even of what is refused; by default beside the bundle.
    """

    kinds: tuple[Kind, ...] = ("int8",)
    budget: Budget = field(default_factory=Budget)
    mend: Collection[str] = mending.STEPS
    sign: Callable[[bytes], Signature] | None = None
    report: Path | None = None


def quantize(subject: Subject, out: Path, plan: Plan, progress: Progress = lambda _: None) -> tuple[Bundle, Parity]:
    """Convert a network to the types that are asked for and pack them as a bundle.

    Parameters
    ----------
    subject : Subject
        The network, and what it is measured on.
    out : Path
        The ``.wbc`` file to write; the report goes beside it.
    plan : Plan
        What to make.
    progress : callable
        Called with the name of each step as it begins.

    Returns
    -------
    tuple
        The bundle as read back, and how its types compare with the trained network.

    Raises
    ------
    NetworkUnreadable
        When the network cannot be converted.
    QuantizationRefused
        When a type lost its judgement; no bundle is written.
    OutputError
        When a file cannot be written; no half one is left.
    """
    work = _Work(subject, plan, progress)
    found = work.parity()
    if plan.report is not None:
        report.save(found, plan.report)
    if work.refusal is not None:
        raise work.refusal
    progress("packing")
    bundle = _pack(subject, work, found, plan)
    if plan.report is not None:
        return _bundle.write(bundle, out, plan.sign), found
    beside = out.with_suffix(REPORT_SUFFIX)
    report.save(found, beside)
    try:
        return _bundle.write(bundle, out, plan.sign), found
    except OutputError:
        # It tells of a bundle that there is not.
        beside.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True, eq=False)
class _Ran:
    """What a network gave of the fields, and where it ran."""

    runtime: str
    gave: Outputs


class _Work:
    """One conversion: the networks that it made, and the first reason to refuse one."""

    def __init__(self, subject: Subject, plan: Plan, progress: Progress) -> None:
        self._subject, self._plan, self._progress = subject, plan, progress
        self.networks: dict[Kind, bytes] = {}
        self.novelty = np.empty((0, 0), np.float32)
        self.refusal: QuantizationRefused | None = None
        self._tried: list[Tried] = []
        progress("judging as trained")
        self._reference = _Ran("TensorFlow", Outputs(*subject.network.run(subject.fields.tiles)))
        self._trained = self._compare(self._reference).whole

    def parity(self) -> Parity:
        """Convert, compare, and refuse or mend what lost too much."""
        subject, plan = self._subject, self._plan
        exact = self._convert("float32")
        made: dict[Kind, tuple[bytes, _Ran]] = {}
        for kind in dict.fromkeys(("float32", *plan.kinds)):
            network = exact if kind == "float32" else self._convert(kind)
            self._progress(f"comparing {kind} with the trained network")
            ran = self._run(network)
            if kind == "int8":
                network, ran = self._mended(exact, network, ran)
            elif kind in plan.kinds:
                self.refusal = self.refusal or self._refused(kind, self._compare(ran))
            made[kind] = network, ran
        self.networks = {kind: made[kind][0] for kind in plan.kinds}
        self.novelty = subject.novelty(self._embed)
        described = subject.description
        trained = self._compare(self._reference, self.novelty)
        compared = {kind: self._compare(ran, self.novelty) for kind, (_, ran) in made.items()}
        for kind in plan.kinds:
            self.refusal = self.refusal or parity.novelty_refusal(
                kind, compared[kind].whole, trained.whole, plan.budget
            )
        return Parity(
            model=f"{described.name} {described.version}",
            classes=described.classes,
            kind_of_fields=subject.kind_of_fields,
            whole_fields=subject.fields.whole,
            trained=trained,
            types={
                kind: Converted(
                    size=graph.size(network),
                    comparison=compared[kind],
                    layers=() if kind == "float32" else activations.errors(exact, network, self._layer_tiles()),
                    not_accelerated=graph.not_accelerated(network),
                )
                for kind, (network, _) in made.items()
            },
            packed=plan.kinds,
            budget=plan.budget,
            tried=tuple(self._tried),
        )

    def _embed(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed tiles as a device will, by int8 where it is packed: its rounding makes a field more novel."""
        network = self.networks["int8"] if "int8" in self.networks else next(iter(self.networks.values()))
        return _runtime.load(network, self._subject.network.classes).run(tiles).embeddings

    def _convert(self, kind: Kind) -> bytes:
        self._progress(f"converting to {kind}")
        network = tflite.convert(self._subject.network, kind, self._subject.representative)
        return metadata.describe(network, self._subject.description)

    def _mended(self, exact: bytes, plain: bytes, ran: _Ran) -> tuple[bytes, _Ran]:
        """Give the first int8 network that is within the budget; or plain int8, and the reason to refuse it."""
        subject, plan = self._subject, self._plan
        refusal = self._note("plain: extreme values, a scale for each output channel", self._compare(ran))
        if refusal is None or not plan.mend:
            self.refusal = self.refusal or refusal
            return plain, ran
        expected = softmax(subject.network.run(subject.representative)[0])

        def loss(network: bytes) -> float:
            # Of probabilities, which are what a verdict adds up.
            logits = _runtime.load(network, subject.network.classes).run(subject.representative).logits
            return float(np.square(softmax(logits) - expected).mean())

        for attempt in mending.attempts(
            subject.network, exact, subject.representative, plan.mend, loss, self._progress
        ):
            network = metadata.describe(attempt.network, subject.description)
            found = self._run(network)
            if self._note(attempt.what, self._compare(found)) is None:
                return network, found
        self.refusal = self.refusal or refusal
        return plain, ran

    def _note(self, what: str, comparison: Comparison) -> QuantizationRefused | None:
        refusal = self._refused("int8", comparison)
        self._tried.append(Tried(what=what, figures=comparison.whole, refused=refusal.why if refusal else ""))
        self._progress(f"int8, {what}: {refusal.why if refusal else 'within the budget'}")
        return refusal

    def _refused(self, kind: Kind, comparison: Comparison) -> QuantizationRefused | None:
        return parity.refusal(kind, comparison.whole, self._trained, self._plan.budget)

    def _run(self, network: bytes) -> _Ran:
        runtime = _runtime.load(network, self._subject.network.classes)
        return _Ran(runtime.name, runtime.run(self._subject.fields.tiles))

    def _compare(self, ran: _Ran, known: NDArray[np.float32] | None = None) -> Comparison:
        described, fields = self._subject.description, self._subject.fields
        return parity.compare(
            ran.runtime,
            self._reference.gave.logits,
            ran.gave.logits,
            None if known is None else novelty.of_fields(ran.gave.embeddings, fields.owners, known[0], known[1:]),
            fields,
            described.decision,
            described.classes,
        )

    def _layer_tiles(self) -> NDArray[np.uint8]:
        tiles = self._subject.fields.tiles
        return tiles[np.linspace(0, len(tiles) - 1, min(_LAYER_TILES, len(tiles))).astype(np.int64)]


def _pack(subject: Subject, work: _Work, found: Parity, plan: Plan) -> Bundle:
    runtimes = {kind: _runtime.load(network, subject.network.classes) for kind, network in work.networks.items()}
    shown = clearly_decided(subject.fields.tiles, list(runtimes.values()))
    bundle = Bundle(
        description=_figures(subject.description, found, plan.kinds),
        networks=work.networks,
        card=f"{subject.card.rstrip()}\n\n{_paragraph(found)}",
        novelty_mean=work.novelty[0],
        novelty_whitening=work.novelty[1:],
        selftest_tiles=shown,
        selftest_logits={kind: runtime.run(shown).logits for kind, runtime in runtimes.items()},
        parity=report.encode(found),
    )
    for kind, runtime in runtimes.items():
        selftest.check(bundle, runtime, kind)
    return bundle


def clearly_decided(tiles: NDArray[np.uint8], runtimes: Sequence[Runtime]) -> NDArray[np.uint8]:
    """Choose tiles whose decision no allowed rounding can turn, so that every sound device decides them alike.

    Parameters
    ----------
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8.
    runtimes : sequence of Runtime
        The networks that shall all be clear about them.

    Returns
    -------
    ndarray
        Shape (at most ``SELFTEST_TILES``, tile, tile, 3), uint8.
    """
    seen = tiles[: max(_LOOKED_THROUGH, SELFTEST_TILES)]
    margins = []
    for runtime in runtimes:
        best = np.sort(runtime.run(seen).logits, axis=1)
        margins.append(best[:, -1] - best[:, -2] - 2 * selftest.MOST_STEPS * runtime.logit_step)
    lead = np.min(margins, axis=0)
    clear = np.flatnonzero(lead > 0)
    # A network that decides nothing clearly, as after a few steps of training, is still to be tested.
    clear = clear if len(clear) else np.argsort(-lead)[:SELFTEST_TILES]
    chosen = clear[np.linspace(0, len(clear) - 1, min(SELFTEST_TILES, len(clear))).astype(np.int64)]
    return np.asarray(seen[chosen], np.uint8)


def _figures(description: Description, found: Parity, kinds: tuple[Kind, ...]) -> Description:
    figures = dict(description.metrics)
    trained = found.trained.whole
    for kind in kinds:
        whole = found.types[kind].comparison.whole
        figures[f"{kind} agreement with float"] = whole.tile_agreement
        figures[f"{kind} same verdicts"] = whole.agreement
        figures[f"{kind} accuracy drop"] = trained.accuracy - whole.accuracy
    networks: dict[Kind, str] = {kind: f"network-{kind}.tflite" for kind in kinds}
    return msgspec.structs.replace(description, networks=networks, metrics=figures)


def _paragraph(found: Parity) -> str:
    trained = found.trained.whole
    lines = [
        "## After conversion",
        "",
        f"On {report.fields(found)} ({trained.tiles} tiles), on which the trained network's accuracy is "
        f"{100 * trained.accuracy:.2f}% (tiles {100 * trained.tile_accuracy:.2f}%):",
        "",
        "| type | same verdict | accuracy | tiles: same class | accuracy | largest difference of a logit | novel |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in found.packed:
        whole = found.types[kind].comparison.whole
        lines.append(
            f"| {kind} | {100 * whole.agreement:.2f}% | {100 * whole.accuracy:.2f}% | "
            f"{100 * whole.tile_agreement:.2f}% | {100 * whole.tile_accuracy:.2f}% | {whole.largest_difference:.3f} | "
            f"{report.share(whole.novel)} |"
        )
    lines += ["", "Novel: refused as unlike any smear in training, which verdicts and accuracies here leave aside."]
    lines += [line for said in (report.mended(found), report.warning(found)) if said for line in ("", said)]
    return "\n".join(lines) + "\n"
