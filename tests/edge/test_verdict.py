"""From tiles to a verdict: evidence adds up, probabilities are probabilities, and doubt is said."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge import verdict
from edge.result import INDETERMINATE
from edge.verdict import Decision, Evidence

CLASSES = ("ALL", "MM", "normal")
DECISION = Decision(
    pseudo_counts=(0.5, 0.3, 1.2),
    temperature=0.5,
    bias=(0.0, 1.0, -0.5),
    least_probability=0.6,
    least_tiles=3,
    novelty_warns=0.5,
)
EVEN = Decision(
    pseudo_counts=(1.0, 1.0, 1.0),
    temperature=0.5,
    bias=(0.0, 0.0, 0.0),
    least_probability=0.6,
    least_tiles=1,
    novelty_warns=0.5,
)

shares = st.lists(st.floats(1e-6, 1.0), min_size=3, max_size=3).map(
    lambda row: tuple(float(value) for value in np.array(row) / sum(row))
)
tiles = st.lists(shares, max_size=30)
frames = tiles.map(lambda rows: verdict.pool(rows, 3))
decisions = st.builds(
    Decision,
    pseudo_counts=st.tuples(*[st.floats(0.01, 5)] * 3),
    temperature=st.floats(0.05, 3),
    bias=st.tuples(*[st.floats(-3, 3)] * 3),
    least_probability=st.floats(0, 1),
    least_tiles=st.integers(1, 10),
    novelty_warns=st.floats(0.1, 1),
)


@given(frames, decisions)
def test_probabilities_are_positive_and_sum_to_one(evidence: Evidence, decision: Decision) -> None:
    calibrated = verdict.probabilities(evidence, decision)
    assert all(0 <= probability <= 1 for probability in calibrated)
    assert sum(calibrated) == pytest.approx(1)


def test_the_formula_by_hand() -> None:
    # Shares (4 + 1, 1 + 1, 0 + 1) / 8, to the power of 1 / 0.5: 25, 4, 1 of 30.
    assert verdict.probabilities(Evidence((4.0, 1.0, 0.0), 5), EVEN) == pytest.approx((25 / 30, 4 / 30, 1 / 30))
    tripled = msgspec.structs.replace(EVEN, bias=(0.0, float(np.log(3)), 0.0))
    assert verdict.probabilities(Evidence((4.0, 1.0, 0.0), 5), tripled) == pytest.approx((25 / 38, 12 / 38, 1 / 38))


@given(frames, decisions, st.integers(0, 2), st.floats(0.01, 50))
def test_more_cells_of_a_class_make_it_more_probable(
    evidence: Evidence, decision: Decision, which: int, more: float
) -> None:
    cells = list(evidence.cells)
    cells[which] += more
    before = verdict.probabilities(evidence, decision)
    after = verdict.probabilities(Evidence(tuple(cells), evidence.tiles + 1), decision)
    assert after[which] >= before[which] - 1e-12
    for other in {0, 1, 2} - {which}:
        assert after[other] <= before[other] + 1e-12


@given(st.lists(frames, min_size=3, max_size=3))
def test_it_does_not_matter_in_which_order_frames_come(three: list[Evidence]) -> None:
    a, b, c = three
    assert a + b == b + a
    left, right = (a + b) + c, a + (b + c)
    assert left.tiles == right.tiles
    assert left.cells == pytest.approx(right.cells)


@given(tiles, tiles)
def test_a_sample_is_the_sum_of_its_frames(first: list[tuple[float, ...]], second: list[tuple[float, ...]]) -> None:
    pooled = verdict.pool(first, 3) + verdict.pool(second, 3)
    at_once = verdict.pool(first + second, 3)
    assert pooled.tiles == at_once.tiles == len(first) + len(second)
    assert pooled.cells == pytest.approx(at_once.cells)


def test_a_frame_without_tiles_is_evidence_of_nothing() -> None:
    nothing = verdict.pool([], 3)
    assert nothing == Evidence((0.0, 0.0, 0.0), 0)
    some = verdict.pool([(0.2, 0.3, 0.5)], 3)
    assert nothing + some == some


def test_evidence_of_different_models_does_not_add_up() -> None:
    with pytest.raises(ValueError, match="zip"):
        Evidence((1.0, 0.0), 1) + Evidence((1.0, 0.0, 0.0), 1)


@given(frames, decisions)
def test_a_verdict_is_the_most_probable_class_or_says_why_there_is_none(evidence: Evidence, decision: Decision) -> None:
    decided = verdict.decide(evidence, decision, CLASSES)
    best = max(decided.probabilities)
    if evidence.tiles < decision.least_tiles:
        assert (decided.label, decided.reason) == (INDETERMINATE, verdict.TOO_LITTLE)
    elif best < decision.least_probability:
        assert (decided.label, decided.reason) == (INDETERMINATE, verdict.LOW_CONFIDENCE)
    else:
        assert (decided.label, decided.reason) == (CLASSES[decided.probabilities.index(best)], None)


def test_too_little_to_see_comes_before_low_confidence() -> None:
    assert verdict.decide(Evidence((2.0, 0.0, 0.0), 2), DECISION, CLASSES).reason == verdict.TOO_LITTLE
    assert verdict.decide(Evidence((0.0, 0.0, 0.0), 0), DECISION, CLASSES).reason == verdict.TOO_LITTLE
    assert verdict.decide(Evidence((0.2, 0.1, 2.7), 3), EVEN, CLASSES).label == "normal"


def test_cells_of_two_classes_alike_are_no_verdict() -> None:
    decided = verdict.decide(Evidence((5.0, 5.0, 0.0), 10), EVEN, CLASSES)
    assert (decided.label, decided.reason) == (INDETERMINATE, verdict.LOW_CONFIDENCE)


def test_a_probability_that_just_reaches_the_threshold_decides() -> None:
    evidence = Evidence((4.0, 1.0, 0.0), 5)
    best = max(verdict.probabilities(evidence, EVEN))
    at, over = (msgspec.structs.replace(EVEN, least_probability=least) for least in (best, np.nextafter(best, 1)))
    assert verdict.decide(evidence, at, CLASSES).label == "ALL"
    assert verdict.decide(evidence, over, CLASSES).label == INDETERMINATE


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_number_is_no_verdict() -> None:
    overflows = msgspec.structs.replace(EVEN, temperature=1e-320)
    decided = verdict.decide(Evidence((4.0, 1.0, 0.0), 5), overflows, CLASSES)
    assert (decided.label, decided.reason) == (INDETERMINATE, verdict.NO_NUMBER)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1e-6, 1e6])
@pytest.mark.parametrize("temperature", [0.01, 100.0])
@pytest.mark.parametrize("bias", [-100.0, 100.0])
@pytest.mark.parametrize("cells", [0.0, 1e9])
def test_at_the_bounds_of_a_decision_probabilities_are_numbers(
    count: float, temperature: float, bias: float, cells: float
) -> None:
    at = msgspec.structs.replace(EVEN, pseudo_counts=(count, 1.0, 1.0), temperature=temperature, bias=(bias, 0.0, 0.0))
    read = msgspec.json.decode(msgspec.json.encode(at), type=Decision)
    assert sum(verdict.probabilities(Evidence((0.0, cells, 0.0), 9), read)) == pytest.approx(1)


@given(st.integers(0, 2))
def test_one_cell_decides_less_than_ten(which: int) -> None:
    cell = tuple(float(index == which) for index in range(3))
    one, ten = (verdict.probabilities(verdict.pool([cell] * count, 3), EVEN)[which] for count in (1, 10))
    assert one < ten
    assert one < 0.7
    assert ten > 0.98


@given(frames, st.floats(0.1, 1), st.floats(1.1, 5))
def test_a_higher_temperature_is_less_sure(evidence: Evidence, cold: float, hotter: float) -> None:
    sharp, dull = (
        max(verdict.probabilities(evidence, msgspec.structs.replace(EVEN, temperature=temperature)))
        for temperature in (cold, cold * hotter)
    )
    assert dull <= sharp + 1e-12


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), max_size=5), st.floats(-1e3, 1e3))
def test_softmax_is_made_of_probabilities_and_knows_differences_only(rows: list[list[float]], shift: float) -> None:
    scores = np.array(rows).reshape(-1, 4)
    result = verdict.softmax(scores)
    assert result.shape == scores.shape
    assert result.dtype == np.float64
    assert (result >= 0).all()
    assert np.allclose(result.sum(axis=-1), 1)
    assert np.allclose(result, verdict.softmax(scores + shift), atol=1e-9)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 1000))
def test_novelty_is_the_mean_mahalanobis_distance_of_the_tiles(count: int, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=(depth, depth)) + 3 * np.eye(depth)
    covariance = shape @ shape.T
    assume(np.linalg.cond(covariance) < 1e4)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
    mean = rng.normal(size=depth).astype(np.float32)
    embeddings = rng.normal(size=(count, depth)).astype(np.float32)
    away = embeddings - mean
    expected = float(np.mean([np.sqrt(row @ np.linalg.inv(covariance) @ row) for row in away]))
    assert verdict.novelty(embeddings, mean, whitening) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_the_middle_of_the_training_data_is_nothing_new() -> None:
    mean = np.array([1.0, -2.0], np.float32)
    assert verdict.novelty(np.stack([mean, mean]), mean, np.eye(2, dtype=np.float32)) == 0


def test_tiles_all_around_the_middle_are_not_in_the_middle() -> None:
    mean = np.array([1.0, -2.0], np.float32)
    around = np.stack([mean - 3, mean + 3])
    assert verdict.novelty(around, mean, np.eye(2, dtype=np.float32)) == pytest.approx(3 * np.sqrt(2))


@pytest.mark.parametrize(
    "broken",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": 1e-320},
        {"pseudo_counts": (0.0, 1.0, 1.0)},
        {"pseudo_counts": (1e308, 1.0, 1.0)},
        {"bias": (0.0, 1e308, 0.0)},
        {"least_probability": 1.1},
        {"least_probability": -0.1},
        {"least_tiles": 0},
        {"novelty_warns": 0.0},
    ],
)
def test_a_decision_that_cannot_be_calibrated_is_not_read(broken: dict[str, object]) -> None:
    text = msgspec.json.encode({**msgspec.to_builtins(DECISION), **broken})
    with pytest.raises(msgspec.ValidationError, match=next(iter(broken))):
        msgspec.json.decode(text, type=Decision)
