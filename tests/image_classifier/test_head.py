"""The linear head, its temperature and its threshold, judged on data that took no part."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from image_classifier import head as module
from image_classifier.head import calibrate, choose_threshold, fit_head, log_losses


def sample(count, classes, distance, seed, features=20):
    """Features of normally distributed classes; a distance of 0 gives random labels."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % classes
    centers = distance * torch.eye(features)[:classes]
    return centers[targets] + torch.randn(count, features, generator=generator), targets


@pytest.mark.parametrize(("classes", "dimensions"), [(2, 20), (4, 20), (3, 300)])
def test_the_head_is_the_logistic_regression_on_standardized_features(classes, dimensions):
    features, targets = sample(120, classes, 2, seed=0, features=dimensions)
    features = 5 * features + 7
    head = fit_head(features, targets)
    x = (features - features.mean(0)) / features.std(0)
    expected = LogisticRegression(C=head.C, max_iter=1000).fit(x, targets)
    found = (features @ head.weight.T + head.bias).softmax(dim=1)
    assert found.numpy() == pytest.approx(expected.predict_proba(x.numpy()), abs=0.01)
    assert head.weight.shape == (classes, dimensions) and head.logits.shape == (120, classes)


def test_out_of_fold_logits_do_not_come_from_the_image_itself():
    features, targets = sample(60, 2, 0, seed=0, features=200)
    head = fit_head(features, targets)
    accuracy = (head.logits.argmax(dim=1) == targets).float().mean()
    assert 0.25 < accuracy < 0.75  # labels are random; on its own images, a head fits them all


def test_a_class_of_two_images_and_constant_features():
    features, targets = sample(30, 2, 3, seed=0)
    features[:, 5] = 1.0
    targets[:2] = 2
    assert torch.isfinite(fit_head(features, targets).weight).all()


def test_a_rare_class_among_many_images_is_in_the_sample(monkeypatch):
    """Defect: the sample had no or one image of it, and cross-validation failed."""
    monkeypatch.setattr(module, "MAX_IMAGES", 50)
    features, targets = sample(200, 2, 3, seed=0)
    targets[:3] = 2
    head = fit_head(features, targets)
    assert (head.targets == 2).sum() == 3 and len(head.logits) == len(head.targets) <= 53
    assert len(fit_head(*sample(52, 4, 3, seed=0)).targets) == 50


def test_a_validation_set_replaces_cross_validation(monkeypatch):
    """Images of one object in several folds would make it too optimistic; see README."""
    features, targets = sample(60, 2, 0, seed=0, features=200)  # random labels
    val_features, val_targets = sample(30, 2, 0, seed=1, features=200)
    features, targets = features.repeat(3, 1), targets.repeat(3)  # three photographs of each object
    with_val = torch.cat([features, val_features]), torch.cat([targets, val_targets])
    head, without = fit_head(*with_val, num_val=30), fit_head(*with_val)
    assert head.targets.tolist() == val_targets.tolist() and head.logits.shape == (30, 2)
    monkeypatch.setattr(module, "MAX_IMAGES", 60)
    assert len(fit_head(*with_val, num_val=30).targets) == 30
    assert head.C == min(module.C_VALUES) < without.C
    one, other = (log_losses(h.logits, h.targets).mean() for h in (head, without))
    assert other < 0.4 < 0.65 < one


def test_many_images_are_sampled_for_cross_validation(monkeypatch):
    monkeypatch.setattr(module, "MAX_IMAGES", 50)
    head = fit_head(*sample(200, 2, 3, seed=0))
    assert len(head.logits) == len(head.targets) == 50
    assert (head.logits.argmax(dim=1) == head.targets).float().mean() > 0.8


@pytest.mark.parametrize(
    ("count", "distance"), [(20, 2), (40, 30), (100, 0), (1000, 2)],
    ids=["small", "separable", "random", "large"],
)  # fmt: skip
def test_the_temperature_does_not_raise_the_log_loss_of_other_images(count, distance):
    """Defect: it collapsed if all validation images were classified correctly."""
    changes = []
    for seed in range(10):
        head = fit_head(*sample(count, 3, distance, seed))
        features, targets = sample(2000, 3, distance, seed + 1000)
        logits = features @ head.weight.T + head.bias
        temperature = calibrate(head.logits, head.targets)
        assert 0.5 <= temperature <= 10
        before = nn.functional.cross_entropy(logits, targets)
        changes.append((nn.functional.cross_entropy(logits / temperature, targets) - before).item())
    assert np.mean(changes) <= 1e-3 and max(changes) < 0.02


def test_overconfident_logits_are_calibrated():
    features, targets = sample(500, 3, 1, seed=0)
    head = fit_head(features, targets)
    assert calibrate(8 * head.logits, head.targets) > 3


def test_the_threshold_reaches_the_target_on_other_images():
    head = fit_head(*sample(3000, 3, 1.5, seed=0))
    threshold = choose_threshold(head.logits.softmax(dim=1), head.targets, 0.95)
    features, targets = sample(5000, 3, 1.5, seed=1)
    confidence, predictions = (features @ head.weight.T + head.bias).softmax(dim=1).max(dim=1)
    confident = confidence >= threshold
    assert (predictions == targets).float().mean() < 0.9
    assert 0.94 < (predictions == targets)[confident].float().mean() < 0.96
    assert confident.float().mean() > 0.2


def test_the_threshold_if_all_or_none_are_correct():
    probabilities = torch.linspace(0.5, 1, 101)[:, None] * torch.tensor([1.0, -1.0])
    probabilities[:, 1] += 1
    correct = torch.zeros(101, dtype=torch.int64)
    assert choose_threshold(probabilities, correct, 0.95) == pytest.approx(0.51)
    assert choose_threshold(probabilities, 1 - correct, 0.95) == 1.0
