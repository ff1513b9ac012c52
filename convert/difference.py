"""What changed from one bundle to another: what they say, how their networks are built, and what they decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from convert import graph
from edge import verdict
from edge.model import runtime as _runtime
from edge.model import signature, trial
from edge.model.bundle import Bundle
from edge.model.description import Kind

Difference = tuple[str, str, str]
"""What it is, in the first bundle, in the second."""


def differences(one: Bundle, other: Bundle) -> Iterator[Difference]:
    """List what two bundles differ in.

    Parameters
    ----------
    one, other : Bundle
        As read from their files.

    Yields
    ------
    tuple of str
        What, before, after; nothing for two bundles of the same content.

    Raises
    ------
    BundleCorrupt
        When the signature of one is not of its parts.
    SelfTestFailed
        When a network crashes or hangs.
    """
    for each in (one, other):
        if each.signature is not None:
            signature.verify(each.signature, each.sums, str(each.path))
    shared = next((kind for kind in one.networks if kind in other.networks), None)
    for each in (one, other):
        assert each.path is not None
        for kind in {next(iter(each.networks)), *([shared] if shared else [])}:
            trial.run(each.path, kind=kind)
    first, second = (_flat(msgspec.to_builtins(each.description)) for each in (one, other))
    for name in dict.fromkeys([*first, *second]):
        if first.get(name) != second.get(name):
            yield name, first.get(name, "–"), second.get(name, "–")
    if one.card != other.card:
        yield "card", f"{len(one.card)} letters", f"{len(other.card)} letters"
    signed = [
        signature.described(each.signature, ("nobody",) if each.signature is None else ()) for each in (one, other)
    ]
    if signed[0] != signed[1]:
        yield "signature", signed[0], signed[1]
    for kind in dict.fromkeys([*one.networks, *other.networks]):
        if kind in one.networks and kind in other.networks:
            yield from _networks(kind, one.networks[kind], other.networks[kind])
    if shared is not None:
        yield from _decisions(one, other, shared)
    yield from _other_parts(one, other)


def _flat(value: Any, name: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {key: text for part, inner in value.items() for key, text in _flat(inner, f"{name}.{part}").items()}
    return {name.lstrip("."): ", ".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"}


def _networks(kind: str, one: bytes, other: bytes) -> Iterator[Difference]:
    if one == other:
        return
    sizes = [msgspec.to_builtins(graph.size(each)) for each in (one, other)]
    for name, before in sizes[0].items():
        if before != sizes[1][name]:
            yield f"{kind} {name}", str(before), str(sizes[1][name])
    layers = [[(layer.operation, layer.shape, layer.dtype) for layer in graph.layers(each)] for each in (one, other)]
    if layers[0] == layers[1]:
        yield f"{kind} network", "as built", "other weights or scales, built alike"
    else:
        changed = sum(before != after for before, after in zip(*layers, strict=False))
        yield f"{kind} network", f"{len(layers[0])} layers", f"{len(layers[1])} layers, {changed} of them others"


def _decisions(one: Bundle, other: Bundle, kind: Kind) -> Iterator[Difference]:
    if one.description.classes != other.description.classes:
        return
    tiles = np.concatenate([one.selftest_tiles, other.selftest_tiles]) if _fit(one, other) else None
    if tiles is None:
        return
    logits = [
        _runtime.load(each.networks[kind], len(each.description.classes)).run(tiles).logits for each in (one, other)
    ]
    difference = float(np.abs(logits[0] - logits[1]).max())
    if difference:
        same = float((logits[0].argmax(axis=1) == logits[1].argmax(axis=1)).mean())
        told = f"same class on {100 * same:.1f}% of {len(tiles)} self-test tiles"
        yield f"{kind} decisions", "–", f"{told}, largest difference of a logit {difference:.3f}"


def _other_parts(one: Bundle, other: Bundle) -> Iterator[Difference]:
    before, after = (np.vstack([each.novelty_mean[None], each.novelty_whitening]) for each in (one, other))
    if not np.array_equal(before, after):
        yield "novelty", _novelty(one), _novelty(other)
    if not np.array_equal(one.selftest_tiles, other.selftest_tiles):
        yield "self-test", f"{len(one.selftest_tiles)} tiles", f"{len(other.selftest_tiles)} tiles, others"
    if one.parity != other.parity:
        yield "report of the conversion", f"{len(one.parity)} bytes", f"{len(other.parity)} bytes, others"


def _novelty(bundle: Bundle) -> str:
    """Say how far from what it knows a bundle finds its own self-test tiles, taken for one field."""
    network = _runtime.load(next(iter(bundle.networks.values())), len(bundle.description.classes))
    embeddings = network.run(bundle.selftest_tiles).embeddings
    found = verdict.novelty(embeddings, bundle.novelty_mean, bundle.novelty_whitening)
    return f"{found:.3f} for its own self-test tiles, refused over 1"


def _fit(one: Bundle, other: Bundle) -> bool:
    return one.selftest_tiles.shape[1:] == other.selftest_tiles.shape[1:]
