"""Claims of notebook 01."""

import numpy as np

from tools.claims import claim


@claim(after="opening")
def confident_predictions_fit(names, top):
    """Seven of its eight most confident predictions are right; the flower is not a daisy."""
    fitting = {"Arabian camel", "fox squirrel", "strawberry", "Granny Smith", "bell pepper", "hen"}
    assert {names[i] for i in top} == fitting | {"hog", "daisy"}


@claim(after="most-elongated")
def five_of_eight_are_wrong(names, elongated):
    """Five of these predictions are wrong; corn (ear), bus and fire engine are right."""
    found = ", ".join(names[i] for i in elongated)
    wanted = "plane, ear, can opener, triceratops, minibus, Dandie Dinmont, revolver, fire engine"
    assert found == wanted


@claim(after="padded")
def padding_corrects_four_of_five(padded_names, elongated):
    """Four of the five wrong predictions are now right; the racing car is still wrong."""
    first, *others = (padded_names[i] for i in elongated)
    wanted = "ear, sports car, badger, minibus, lion, airliner, fire engine"
    assert ", ".join(others) == wanted
    assert "car" not in first


@claim(after="mistakes")
def wrong_preprocessing_changes_predictions(costs):
    """With values from 0 to 255, all predictions change; with the others, four or five in ten."""
    changed = costs["changed predictions"]
    assert changed["0 to 255"] == 1
    assert changed[["not normalized", "BGR", "another network's"]].between(0.36, 0.54).all()


@claim(after="mistakes")
def probabilities_hardly_tell(costs):
    """The probabilities of the last three are almost as high as before."""
    assert costs["mean probability"].iloc[2:].min() > 0.8 * costs["mean probability"].iloc[0]


@claim(after="transparency")
def transparency_matters(converted, names):
    """The colors of transparent pixels appear, and predictions change."""
    assert converted > len(names) / 3


@claim(after="baseline")
def baseline_is_twice_one_in_six(baseline, most_frequent):
    """35 %, twice as much as with six equal classes."""
    assert most_frequent == "mammals"
    assert round(baseline, 2) == 0.35


@claim(after="own-transforms")
def shared_transform_changes_all_validation_images(fraction_changed, val_part, fixed_val):
    """Two brightness factors are practically never equal; own transforms are the remedy."""
    assert fraction_changed(val_part) > 0.95
    assert fraction_changed(fixed_val) == 0


@claim(after="sizes")
def fruit_and_vegetables_are_smaller(medians):
    """Many photographs of fruit and vegetables are small."""
    small = medians[["fruit", "vegetables"]]
    assert small.max() < medians.drop(small.index).min()


@claim(after="accuracy-from")
def size_predicts_the_class(low, counts, total):
    """The size predicts the class better than the baseline, which lies below the interval."""
    assert low > counts["train"].max() / total


@claim(after="sharpness")
def sharpness_does_not_measurably(low, high, counts, total):
    """The interval of the sharpness contains the baseline."""
    assert low < counts["train"].max() / total < high


@claim(after="pitfall-std-code")
def mean_of_standard_deviations_is_too_small(per_image, std_by_hand):
    """It is too small whenever the means of the images differ."""
    assert (per_image < 0.95 * std_by_hand).all()


@claim(after="clipping")
def imshow_clips_many_values(outside):
    """`imshow` clips all values outside 0 to 1."""
    assert outside > 0.25


@claim(after="findings")
def all_six_problems_are_found(findings):
    """We add six files with problems, and the health check finds them."""
    found = {name.rpartition("/")[2] for name in findings["file"]}
    names = {"truncated.png", "text.jpg", "png-inside.jpg", "other-class.png", "rotated.jpg"}
    assert names | {"saved-again.jpg"} == found


@claim(after="real-findings")
def cutouts_are_healthy(real_findings):
    """There is no finding in `cutouts`."""
    assert len(real_findings) == 0


@claim(after="sampler")
def sampler_balances_the_classes(sampled):
    """The classes are now sampled about equally often."""
    expected = sampled.sum() / len(sampled)
    noise = np.sqrt(expected * (1 - 1 / len(sampled)))
    assert (np.abs(sampled - expected) < 5 * noise).all()
