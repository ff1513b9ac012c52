"""What else tells the classes apart, so that a network could learn it instead of the disease."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import combinations

from trainer.manifest import LabelledField


def association(labels: Sequence[str], attribute: Sequence[Hashable]) -> float:
    """Measure how much an attribute and the class tell of each other.

    Parameters
    ----------
    labels : sequence of str
        Class of each field.
    attribute : sequence of hashable
        Its laboratory, say.

    Returns
    -------
    float
        Mutual information, adjusted for chance (Vinh et al. 2010) and normalised by the smaller entropy: 0 is no more
        than chance, 1 means that one follows from the other. 0 where there is only one class or one value.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    if len(set(labels)) < 2 or len(set(attribute)) < 2:
        return 0.0
    numbers = {value: number for number, value in enumerate(dict.fromkeys(attribute))}
    coded = [numbers[value] for value in attribute]
    # A value that is there once says nothing; were all so, the score would be 0 / 0.
    if len(numbers) == len(coded):
        return 0.0
    score = float(adjusted_mutual_info_score(labels, coded, average_method="min"))
    return min(max(score, 0.0), 1.0)


def never_together(fields: Sequence[LabelledField]) -> list[tuple[str, str]]:
    """Pair the classes that no laboratory has both of: for those, class and laboratory cannot be told apart.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.

    Returns
    -------
    list of tuple of str
        Pairs of classes, sorted.
    """
    labs: dict[str, set[str]] = defaultdict(set)
    for field in fields:
        labs[field.label].add(field.lab)
    return [(one, other) for one, other in combinations(sorted(labs), 2) if not labs[one] & labs[other]]
