"""Claims of notebook 09."""

import numpy as np
import torch

from tools.claims import claim


@claim(after="burst-splits")
def a_random_split_of_bursts_measures_memorization(leaked, grouped):
    """The leaking test reports about 0.9. Split by photograph, it is near 0.5."""
    assert leaked > 0.8
    assert 0.3 < grouped < 0.7


@claim(after="held-out-logits")
def all_images_give_a_narrower_interval(is_correct, temperatures, low, high, metrics):
    """The accuracy is about 0.92; the tool kept the temperature 1 in every fold."""
    assert 0.89 < is_correct.double().mean() < 0.95
    assert set(temperatures) == {1.0}
    assert high - low < 0.62 * (metrics["accuracy high"] - metrics["accuracy low"])


@claim(after="perfect")
def without_errors_the_temperature_falls_to_its_limit(perfect):
    """If no prediction is wrong, T falls to the lower limit."""
    assert np.isclose(perfect, 0.05, atol=0.001)


@claim(after="calibration-table")
def few_images_give_extreme_temperatures(calibration):
    """The temperature of 37 images is more extreme than that of out-of-fold predictions."""
    few, many = calibration.loc["validation images"], calibration.loc["out-of-fold predictions"]
    assert few["lowest T"] < 0.6 * many["lowest T"]
    assert many["lowest T"] > 0.65
    assert many["log loss"] < few["log loss"]
    assert many["minus T = 1"] < 0.01


@claim(after="worst-run")
def the_lowest_temperature_raises_the_log_loss(before_after):
    """Where the validation temperature is lowest, it raises the log loss on the test fold."""
    one, few, many = before_after
    assert few > one + 0.02
    assert few > many


@claim(after="calibration-table")
def few_images_make_the_ece_large_anyway(calibration):
    """Even a calibrated model has an ECE of about 0.04 on 187 images."""
    assert calibration["ECE if calibrated"].between(0.025, 0.06).all()


@claim(after="risk-coverage")
def confidence_sorts_and_saturates(risk, saturated, margins, wrong):
    """With T = 0.05, most confidences are exactly 1; the most confident half has few errors."""
    assert saturated.double().mean() > 0.75
    assert len(margins.unique()) > 0.98 * len(margins)
    assert risk[len(risk) // 2] < 0.5 * wrong.mean()


@claim(after="verify-thresholds")
def only_the_upper_limit_keeps_the_promise(by_rule):
    """One rule exceeds the target every second time, the other rarely, with less coverage."""
    assert 0.3 < by_rule.loc["observed risk", "risk over target"] < 0.75
    assert by_rule.loc["upper limit", "risk over target"] < 0.2
    assert by_rule.loc["upper limit", "coverage"] < by_rule.loc["observed risk", "coverage"] - 0.2


@claim(after="conformal-table")
def coverage_does_not_depend_on_the_model(sets):
    """About 0.95 for any model; a bad one has larger sets; blurred images are covered less."""
    assert abs(sets["coverage"].iloc[:2] - 0.955).max() < 0.012
    assert sets["mean set size"].iloc[1] > 3.5 * sets["mean set size"].iloc[0]
    assert sets.loc["model, blurred images", "coverage"] < 0.92


@claim(after="coverage-figure")
def coverages_follow_the_beta_binomial(measured, expected, others, low, high):
    """Coverage varies as the beta-binomial distribution says."""
    assert 0.85 < low < 0.93 and high > 0.98
    inside = (measured >= low - 1e-9) & (measured <= high + 1e-9)
    assert 0.93 < inside.mean()
    assert abs(measured.mean() * others - expected.mean()) < 0.3


@claim(after="preprocessing-table")
def four_mistakes_do_harm(harm):
    """Four mistakes cost from about 12 to 80 points; three cost a few points at most."""
    assert (harm["high"].iloc[3:] < -0.03).all()
    assert (harm["difference"].iloc[:3] > -0.065).all()
    assert -0.17 < harm.loc["EXIF rotation ignored", "difference"] < -0.07
    assert (harm["difference"].iloc[4:] < -0.14).all()


@claim(after="color-classes")
def where_color_decides_the_swap_costs_more(change, high, harm):
    """Where color decides, swapped channels cost about 20 points."""
    assert change < -0.13 and high < -0.07
    assert change < harm.loc["red and blue swapped", "difference"] - 0.1


@claim(after="off-center")
def a_center_crop_loses_objects_at_the_edge(off_center):
    """An object at the edge costs about 15 points."""
    assert -0.22 < off_center["difference"] < -0.1
    assert off_center["high"] < -0.05


@claim(after="corruption-table")
def strong_blur_breaks_it_and_confidence_lags(robustness):
    """Strong blur costs almost 40 points, and the confidence is far above the accuracy."""
    blur = robustness.loc[("blur", 3)]
    assert robustness["accuracy"].idxmin() == ("blur", 3)
    assert -0.47 < blur["difference"] < -0.3
    assert blur["confidence"] > blur["accuracy"] + 0.1
    assert robustness.loc["darkness", "difference"].min() > -0.13


@claim(after="clustered")
def variants_of_an_image_are_not_independent(low, high, low_image, high_image):
    """Counted as independent, the variants give an interval half as wide."""
    assert 1.7 < (high_image - low_image) / (high - low) < 3


@claim(after="monitoring")
def monitoring_keeps_its_false_positive_rate(monitoring):
    """About 5 % false positives; blur is detected with 30 images, 5 images detect little."""
    assert monitoring.loc["unchanged"].max() <= 0.14
    assert monitoring.loc["blur, strength 2", ("features", 30)] > 0.85
    assert monitoring.loc["blur, strength 2", ("confidence", 30)] > 0.7
    assert monitoring.loc["noise, strength 2", ("features", 30)] > 0.6
    assert monitoring.loc["only mammals", ("features", 30)] > 0.9
    assert monitoring.loc["darkness, strength 2"].xs(5, level="window").max() < 0.35


@claim(after="export")
def the_export_is_equal_and_int8_is_close(exported, scratch):
    """The float32 file equals the original, the int8 file is less than a third of the size."""
    reference, sizes = (
        exported["PyTorch"],
        [(scratch / n).stat().st_size for n in list(exported)[1:]],
    )
    torch.testing.assert_close(exported["ONNX"], reference, atol=1e-4, rtol=0)
    assert (exported["ONNX int8"] - reference).abs().max() < 0.2
    assert sizes[1] < 0.34 * sizes[0]
