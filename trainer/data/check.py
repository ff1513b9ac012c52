"""What is wrong with a data set, before anything is trained on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainer import manifest
from trainer.cells import MOST_UNREADABLE
from trainer.data import confounding, duplicates, survey
from trainer.data.duplicates import Pair
from trainer.data.survey import Seen
from trainer.errors import DataError
from trainer.manifest import LabelledField, is_there

FEW_GROUPS = 5
"""A class with fewer groups is warned of: an interval over groups says little then."""

NUCLEI_UM = (6.0, 12.0)
"""Median diameter of nuclei outside which the pixel size is doubtful. The seven laboratories and pixel sizes at hand
gave 6.4 to 10.2; at half their pixel size below 6, and at twice that 11.2 to 19."""

_USUAL = f"{NUCLEI_UM[0]:g} to {NUCLEI_UM[1]:g}"
_SIZE_RATIO = 1.5
_GIVEN_AWAY = 0.5
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a data set.

    Attributes
    ----------
    kind : str
        A word for programs, such as ``"confounded"``.
    said : str
        What is wrong, in a sentence.
    remedy : str
        What can be done about it; may be empty.
    refuses : bool
        Whether the data set cannot be trained on; otherwise it is a warning.
    """

    kind: str
    said: str
    remedy: str = ""
    refuses: bool = False

    def __str__(self) -> str:
        """Return the line that a person sees."""
        return f"{self.said}. {self.remedy}" if self.remedy else self.said


@dataclass(frozen=True, slots=True)
class Laboratory:
    """The fields of one laboratory.

    Attributes
    ----------
    fields, groups : dict
        Number of fields and of groups of each class.
    um_per_px : tuple of float
        Its pixel sizes, micrometres.
    sizes_px : dict
        How many pictures there are of each size, such as ``"2560x1920"``, the most frequent first.
    nuclear_diameter_um : float or None
        Median over a few fields, micrometres.
    """

    fields: dict[str, int]
    groups: dict[str, int]
    um_per_px: tuple[float, ...]
    sizes_px: dict[str, int]
    nuclear_diameter_um: float | None


@dataclass(frozen=True, slots=True)
class Examined:
    """A data set, and what is wrong with it.

    Attributes
    ----------
    fields, groups : int
        How many there are.
    classes : tuple of str
        Their names.
    laboratories : dict
        The laboratories, by name.
    gives_away : dict
        How much the class follows from the laboratory, the picture's size, the pixel size and the type of the file:
        see :func:`trainer.data.confounding.association`.
    pairs : tuple of Pair
        Near-duplicates.
    findings : tuple of Finding
        What is wrong, what refuses training first.
    """

    fields: int
    groups: int
    classes: tuple[str, ...]
    laboratories: dict[str, Laboratory]
    gives_away: dict[str, float]
    pairs: tuple[Pair, ...]
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> tuple[Finding, ...]:
        """What refuses training."""
        return tuple(finding for finding in self.findings if finding.refuses)


def examine(fields: Sequence[LabelledField], progress: Callable[[int], None] = lambda _: None) -> Examined:
    """Look at a whole data set and say what is wrong with it.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    Examined
        The findings, with what they are taken from.
    """
    seen = survey.look(fields, progress)
    readable = [one for one in seen if not one.problem]
    hashed = np.reshape(np.array([one.hashes for one in readable], np.uint64), (-1, 8, 4))
    pairs = duplicates.pairs([one.source for one in readable], hashed)
    gives_away = {name: _association(readable, attribute) for name, attribute in _ATTRIBUTES.items()}
    findings = [
        *_of_classes(fields),
        *_of_files(seen),
        *_of_masks(readable),
        *_of_scale(readable),
        *_of_duplicates(pairs),
        *_of_confounding(fields, readable),
    ]
    return Examined(
        len(fields),
        len({field.group for field in fields}),
        tuple(sorted({field.label for field in fields})),
        {lab: _laboratory([one for one in seen if one.source.lab == lab]) for lab in _labs(seen)},
        gives_away,
        tuple(pairs),
        tuple(sorted(findings, key=lambda finding: not finding.refuses)),
    )


_ATTRIBUTES: dict[str, Callable[[Seen], Hashable]] = {
    "laboratory": lambda one: one.source.lab,
    "picture size": lambda one: one.size_px,
    "pixel size": lambda one: one.source.um_per_px,
    "file type": lambda one: one.source.path.suffix.lower(),
}


def _association(seen: Sequence[Seen], attribute: Callable[[Seen], Hashable]) -> float:
    return confounding.association([one.source.label for one in seen], [attribute(one) for one in seen])


def _labs(seen: Iterable[Seen]) -> list[str]:
    return sorted({one.source.lab for one in seen})


def _laboratory(seen: Sequence[Seen]) -> Laboratory:
    groups: dict[str, set[str]] = defaultdict(set)
    for one in seen:
        groups[one.source.label].add(one.source.group)
    sizes = Counter(f"{one.size_px[0]}x{one.size_px[1]}" for one in seen if one.size_px)
    return Laboratory(
        dict(Counter(one.source.label for one in seen)),
        {label: len(names) for label, names in groups.items()},
        tuple(sorted({one.source.um_per_px for one in seen})),
        dict(sizes.most_common()),
        survey.nuclear_diameter_um(seen),
    )


def _of_classes(fields: Sequence[LabelledField]) -> Iterator[Finding]:
    try:
        classes = manifest.classes(fields)
    except DataError as error:
        yield Finding("classes", f"{error.what} {error.why}", error.remedy, refuses=True)
        return
    for label in classes:
        groups = {field.group for field in fields if field.label == label}
        if len(groups) < FEW_GROUPS:
            yield Finding(
                "few groups",
                f"class {label!r} has only {len(groups)} groups, so figures for it will be uncertain",
                "Add fields of other slides or patients",
            )


def _of_files(seen: Sequence[Seen]) -> Iterator[Finding]:
    try:
        manifest.require_files(one.source for one in seen)
    except DataError as error:
        yield Finding("missing files", f"{error.what}: {error.why}", error.remedy, refuses=True)
    unreadable = [one.problem for one in seen if one.problem and is_there(one.source.path)]
    if unreadable:
        yield Finding(
            "unreadable pictures",
            f"{len(unreadable)} of {len(seen)} pictures cannot be read: {_first(unreadable, '; ')}",
            "They would be left out" if len(unreadable) <= MOST_UNREADABLE * len(seen) else "Mend or remove them",
            refuses=len(unreadable) > MOST_UNREADABLE * len(seen),
        )
    again = [source.path.name for source, times in Counter(one.source for one in seen).items() if times > 1]
    if again:
        yield Finding(
            "repeated rows",
            f"{len(again)} fields are there more than once: {_first(again)}",
            "Each counts as often as it is there: give each row, and each manifest, once",
        )
    bordered = [one.source.path.name for one in seen if one.has_border]
    if bordered:
        yield Finding(
            "borders",
            f"{len(bordered)} of {len(seen)} pictures have bars around the field: {_first(bordered)}",
            "`trainer data borders` writes a region of interest without them",
        )


def _of_masks(seen: Sequence[Seen]) -> Iterator[Finding]:
    problems = [problem for one in seen for problem in one.mask_problems]
    if problems:
        yield Finding("unreadable masks", f"{len(problems)} masks: {_first(problems, '; ')}", refuses=True)
    for share, said in ((0.0, "black all over"), (1.0, "nowhere black")):
        names = [one.source.masks[column].name for one in seen for column in one.cover if one.cover[column] == share]
        if names:
            yield Finding("empty masks", f"{len(names)} masks are {said}: {_first(names)}", "Look at them")


def _of_scale(seen: Sequence[Seen]) -> Iterator[Finding]:
    scales: dict[str, dict[float, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for one in seen:
        scales[one.source.lab][one.source.um_per_px].append(one)
    for lab, by_scale in sorted(scales.items()):
        if len(by_scale) > 1:
            said = ", ".join(f"{scale:g} ({len(some)} fields)" for scale, some in sorted(by_scale.items()))
            yield Finding(
                "mixed pixel sizes", f"laboratory {lab!r} has several pixel sizes: {said} um", "Are all of them right?"
            )
        for um_per_px, some in sorted(by_scale.items()):
            sizes = [one.size_px for one in some]
            smallest, largest = min(sizes, key=max), max(sizes, key=max)
            if max(largest) > _SIZE_RATIO * max(smallest):
                yield Finding(
                    "mixed sizes",
                    f"laboratory {lab!r} has pictures of {smallest[0]}x{smallest[1]} and of {largest[0]}x{largest[1]} "
                    f"pixels, all of {um_per_px:g} um per pixel",
                    "A picture that was made smaller has larger pixels",
                )
            diameter = survey.nuclear_diameter_um(some)
            if diameter is None:
                said = f"no nucleus of laboratory {lab!r} could be measured"
            elif not NUCLEI_UM[0] <= diameter <= NUCLEI_UM[1]:
                said = f"nuclei of laboratory {lab!r} would be {diameter:.1f} um wide, {_USUAL} are usual"
            else:
                continue
            yield Finding(
                "doubtful pixel size",
                f"at {um_per_px:g} um per pixel {said}",
                "Check um_per_px; red cells are 7.2 um wide",
            )


def _of_duplicates(pairs: Sequence[Pair]) -> Iterator[Finding]:
    for identical, kind, word in ((True, "duplicates", "the same"), (False, "near-duplicates", "nearly the same")):
        alike = [pair for pair in pairs if pair.identical == identical]
        labelled = [pair for pair in alike if pair.across_labels]
        parted = [pair for pair in alike if pair.across_groups and not pair.across_labels]
        if labelled:
            yield Finding(
                f"{kind} across classes",
                f"{len(labelled)} pairs of pictures are {word}, with different labels: {_first(map(_named, labelled))}",
                "One label of each pair is wrong",
                refuses=identical,
            )
        if parted:
            yield Finding(
                f"{kind} across groups",
                f"{len(parted)} pairs of pictures are {word} in different groups: {_first(map(_named, parted))}",
                "Join their groups, or a split will part them",
            )


def _of_confounding(fields: Sequence[LabelledField], seen: Sequence[Seen]) -> Iterator[Finding]:
    for one, other in confounding.never_together(fields):
        homes = [", ".join(sorted({field.lab for field in fields if field.label == label})) for label in (one, other)]
        yield Finding(
            "confounded",
            f"{one} and {other} never come from the same laboratory ({one}: {homes[0]}; {other}: {homes[1]}), so what "
            "tells the laboratories apart, such as stain or sharpness, passes for the disease: "
            "no figure for this pair is a clinical one",
            "Add fields of both from one laboratory",
        )
    for lab in _labs(seen):
        of_lab = [one for one in seen if one.source.lab == lab]
        for name, attribute in _ATTRIBUTES.items():
            if _association(of_lab, attribute) >= _GIVEN_AWAY:
                yield Finding("confounded", f"in laboratory {lab!r} the {name} gives the class away")


def _named(pair: Pair) -> str:
    return f"{pair.first.path.name} and {pair.second.path.name}"


def _first(names: Iterable[str], separator: str = ", ") -> str:
    listed = list(names)
    return separator.join(listed[:_NAMED]) + (f"{separator}…" if len(listed) > _NAMED else "")
