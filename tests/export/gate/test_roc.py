import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics

from fcdd_export.gate.roc import (
    auc_with_interval,
    average_precision,
    bootstrap_picks,
    midranks,
    predictive_value,
    rank_correlation,
    roc_auc,
    roc_curve,
    sensitivity_at,
    specificity_at,
    threshold_for_sensitivity,
)


def _drawn(seed: int, ties: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    labels = np.arange(60) % 4 == 0
    scores = rng.normal(labels, 1.0)
    return (np.round(scores) if ties else scores), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_the_share_of_ordered_pairs(seed: int, ties: bool) -> None:
    scores, labels = _drawn(seed, ties)
    pairs = [(high > low) + (high == low) / 2 for high in scores[labels] for low in scores[~labels]]
    assert roc_auc(scores, labels) == pytest.approx(np.mean(pairs))


def test_auc_of_perfect_reversed_and_constant_scores() -> None:
    labels = np.array([False, False, True, True])
    assert roc_auc(np.array([1.0, 2.0, 3.0, 4.0]), labels) == 1
    assert roc_auc(np.array([4.0, 3.0, 2.0, 1.0]), labels) == 0
    assert roc_auc(np.ones(4), labels) == 0.5


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_interval_contains_the_estimate_and_narrows_with_more_examples() -> None:
    scores, labels = _drawn(0, ties=False)
    few = auc_with_interval(scores, labels, resamples=300)
    many = auc_with_interval(np.tile(scores, 9), np.tile(labels, 9), resamples=300)
    assert few.low < few.auc < few.high
    assert many.auc == pytest.approx(few.auc)
    assert many.high - many.low < (few.high - few.low) / 2
    assert (few.normals, few.anomalies) == (45, 15)


def test_interval_repeats_with_its_seed() -> None:
    scores, labels = _drawn(1, ties=False)
    assert auc_with_interval(scores, labels, 50, seed=3) == auc_with_interval(scores, labels, 50, seed=3)
    assert auc_with_interval(scores, labels, 50, seed=3) != auc_with_interval(scores, labels, 50, seed=4)


@pytest.mark.parametrize("sensitivity", [0.05, 0.5, 0.9, 0.95, 1.0])
def test_threshold_reaches_the_sensitivity_and_the_next_higher_score_does_not(sensitivity: float) -> None:
    labels = np.arange(120) % 6 == 0
    scores = np.random.default_rng(2).permutation(120).astype(np.float64)
    threshold = threshold_for_sensitivity(scores, labels, sensitivity)
    assert sensitivity_at(scores, labels, threshold) >= sensitivity
    assert sensitivity_at(scores, labels, threshold + 0.5) < sensitivity


def test_sensitivity_and_specificity_count_a_score_at_the_threshold_as_flagged() -> None:
    scores, labels = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True])
    assert sensitivity_at(scores, labels, 2.0) == 1
    assert specificity_at(scores, labels, 2.0) == 0.5


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.array([1.0, 2.0]), np.array([True, True])),
        (np.array([1.0, 2.0]), np.array([False, False])),
        (np.array([1.0, np.nan]), np.array([True, False])),
        (np.array([1.0, 2.0, 3.0]), np.array([True, False])),
        (np.array([1.0, 2.0]), np.array([1, 0])),
    ],
    ids=["no normal", "no anomaly", "not a number", "shapes differ", "labels are no bool"],
)
def test_unusable_scores_and_labels_are_refused(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> None:
    with pytest.raises(ValueError):
        roc_auc(scores, labels)


@pytest.mark.parametrize("sensitivity", [0.0, 1.1, -0.5])
def test_impossible_sensitivity_is_refused(sensitivity: float) -> None:
    scores, labels = _drawn(0, ties=False)
    with pytest.raises(ValueError, match="sensitivity"):
        threshold_for_sensitivity(scores, labels, sensitivity)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_areas_and_curves_equal_those_of_scikit_learn(seed: int, ties: bool) -> None:
    scores, labels = _drawn(seed, ties)
    assert roc_auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    ours = average_precision(scores, labels)
    assert ours == pytest.approx(metrics.average_precision_score(labels, scores), abs=1e-12)
    curve = roc_curve(scores, labels)
    false, true, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, false, atol=1e-12)
    np.testing.assert_allclose(curve.true_positive_rate, true, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@pytest.mark.parametrize("prevalence", [0.02, 0.25, 0.9])
def test_average_precision_at_a_prevalence_is_that_of_weighted_images(prevalence: float) -> None:
    scores, labels = _drawn(0, ties=True)
    weights = np.where(labels, prevalence / labels.mean(), (1 - prevalence) / (~labels).mean())
    expected = metrics.average_precision_score(labels, scores, sample_weight=weights)
    assert average_precision(scores, labels, prevalence) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1])
def test_impossible_prevalence_is_refused(prevalence: float) -> None:
    scores, labels = _drawn(0, ties=False)
    with pytest.raises(ValueError, match="prevalence"):
        average_precision(scores, labels, prevalence)


def test_predictive_value_is_the_share_of_anomalies_among_the_flagged() -> None:
    # Of 1000 images 20 are anomalous: 18 of them and 98 of the 980 normals are flagged.
    assert predictive_value(0.9, 0.9, 0.02) == pytest.approx(18 / (18 + 98))
    assert np.isnan(predictive_value(0.0, 1.0, 0.02))


def test_resamples_without_groups_keep_the_number_of_each_class() -> None:
    _, labels = _drawn(0, ties=False)
    picks = bootstrap_picks(labels, resamples=20)
    assert [labels[pick].sum() for pick in picks] == [labels.sum()] * 20
    assert any(len(set(pick)) < len(pick) for pick in picks)


def test_resamples_of_groups_take_a_group_with_all_its_images() -> None:
    groups = np.repeat(np.arange(6), 2)
    labels = np.array([False, True] * 2 + [False, False] * 4)
    picks = bootstrap_picks(labels, groups, resamples=50)
    for pick in picks:
        counts = np.bincount(pick, minlength=12)
        assert (counts[0::2] == counts[1::2]).all()
        assert labels[pick].sum() == 2
    assert len({tuple(pick) for pick in picks}) > 1


def test_every_resample_of_groups_has_both_classes() -> None:
    groups, labels = np.array([0, 0, 1]), np.array([False, True, True])
    for pick in bootstrap_picks(labels, groups, resamples=50):
        assert labels[pick].any() and not labels[pick].all()


def test_answers_that_are_all_equal_have_lost_the_order_of_the_reference() -> None:
    varying = np.array([0.1, 0.2, 0.3])
    assert rank_correlation(np.full(3, 0.2), varying) == 0
    assert rank_correlation(varying, np.full(3, 0.2)) is None
    assert rank_correlation(varying, varying) == pytest.approx(1)
