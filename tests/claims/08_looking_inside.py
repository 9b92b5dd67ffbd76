"""Claims of notebook 08."""

from tools.claims import claim


@claim(after="shift")
def only_the_map_of_the_logit_changes(before, after, likeness):
    """No probability changes; the map of the logit does, that of the difference does not."""
    assert (before - after).abs().max() < 1e-3
    assert likeness > 0.999


@claim(after="guided-captum")
def captum_ignores_relu6(difference):
    """Captum's guided backpropagation is the plain gradient here."""
    assert difference == 0


@claim(after="pointing-table")
def grad_cam_and_occlusion_find_the_correct_half(pointing):
    """Their peaks are in the correct half in nine of ten questions, those of gradients in six."""
    correct = pointing["peak in the correct half"]
    assert correct[["Grad-CAM", "occlusion"]].min() > 0.87
    assert correct[["gradient", "guided backpropagation"]].max() < 0.72
    assert correct[["gradient", "guided backpropagation"]].min() > 0.52


@claim(after="pointing-table")
def coarse_maps_often_miss_the_object(pointing):
    """Grad-CAM does worse than guessing the center of a half; occlusion and IG hit most."""
    on_object = pointing["peak on the object"]
    assert on_object["Grad-CAM"] < on_object["center of a random half"] - 0.01
    assert on_object[["occlusion", "Integrated Gradients"]].min() > on_object["gradient"] + 0.04
    assert on_object[["occlusion", "Integrated Gradients"]].min() > 0.53
    assert on_object["random cell"] < 0.25


@claim(after="deletion-table")
def every_method_is_better_than_random(faithfulness):
    """All methods are better than random in both tests, and occlusion is the best."""
    methods = faithfulness.drop("random cell")
    assert (methods["lower end"] > 0).all()
    assert (methods["lower"] > 0).all()
    assert faithfulness["deletion: fall"].idxmax() == "occlusion"
    assert faithfulness["insertion: rise"].idxmax() == "occlusion"
    assert methods["insertion: rise"].idxmin() == "Integrated Gradients"


@claim(after="randomization-table")
def guided_backpropagation_fails(sanity):
    """Its maps keep a correlation of about 0.65; those of Grad-CAM and IG keep none."""
    rho = sanity["rank correlation"]
    assert rho["guided backpropagation"] > 0.55
    assert rho[["Grad-CAM", "Integrated Gradients"]].abs().max() < 0.12
    assert 0.12 < rho["gradient"] < rho["guided backpropagation"] - 0.15
    assert not sanity["constant maps"].any()


@claim(after="frozen-shortcut")
def features_do_not_protect(frozen_table):
    """0.97 on own backgrounds, 0.56 on others; with random backgrounds 0.78 and 0.75."""
    own, random = frozen_table.loc["own backgrounds"], frozen_table.loc["random backgrounds"]
    assert own["own background"] > 0.93
    assert own["upper end"] < random["lower end"]
    assert 0.5 < own["other backgrounds"] < 0.62
    assert abs(random["own background"] - random["other backgrounds"]) < 0.06


@claim(after="cnn-shortcut")
def a_cnn_learns_only_the_background(cnn_table):
    """Almost 0 on other backgrounds; with random ones about half, on all of them."""
    own, random = cnn_table.loc["own backgrounds"], cnn_table.loc["random backgrounds"]
    assert own["own background"] > 0.93
    assert own["other backgrounds"] < 0.05
    assert random[["own background", "other backgrounds"]].between(0.38, 0.68).all()


@claim(after="remedies-table")
def group_weights_add_almost_nothing(remedies):
    """A few others gain about four points, group weights little more, retraining about nine."""
    gain = remedies["gain on others"]
    assert 0.02 < gain["a few on other backgrounds"] < 0.1
    assert abs(gain["the same, group weights"] - gain["a few on other backgrounds"]) < 0.03
    assert gain["last layer retrained"] > gain["the same, group weights"] + 0.01
    assert remedies.loc["last layer retrained", "lower end"] > 0.02
    assert gain.idxmax() == "random backgrounds"


@claim(after="ood-summary")
def brightness_solves_far_but_not_near(ood, areas):
    """Brightness alone reaches 1.00 on far-OOD; near-OOD, similarity is the best score."""
    assert ood.loc["mean brightness", "far-OOD"] > 0.98
    assert ood["far-OOD"].min() > 0.85
    assert ood["near-OOD"].idxmax() == "nearest training image"
    assert 0.83 < ood["near-OOD"].max() < 0.93
    logits = ood.loc[["softmax probability", "maximum logit", "minus energy"], "near-OOD"]
    assert logits.max() - logits.min() < 0.05
    assert areas.loc["softmax probability", "fruit"] < areas.loc["mean brightness", "fruit"]
