"""A model file gives back the same answers, and no other file is taken for one."""

import pickle

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from course_utils.models import SmallCNN
from course_utils.transfer import TransferModel, build_backbone
from course_utils.transforms import resize_to_square
from image_classifier import model as module
from image_classifier.model import ImageClassifier, ModelFileError, load_classifier, save_classifier

CLASSES = ["große Vögel", "cats & dogs", "c"]


def small(**options):
    torch.manual_seed(0)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    options = {"temperature": 1.5, "threshold": 0.6, "about": {"data": "made up"}} | options
    return ImageClassifier(
        SmallCNN(3, 3, width=4), {"name": "SmallCNN", "width": 4}, CLASSES, 32, mean, std, **options
    )


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)


def test_probabilities_are_those_of_the_parts(images):
    found = small()(images)
    prepare = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]),
        ]
    )
    wanted = (small().net(prepare(images)) / 1.5).softmax(dim=1)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(5))


def test_a_file_gives_back_everything(tmp_path, images):
    before = small(resize_mode="crop")
    save_classifier(before, tmp_path / "new" / "model.pt")
    after = load_classifier(tmp_path / "new" / "model.pt")
    assert torch.equal(before(images), after(images))
    for name in ("classes", "image_size", "how", "temperature", "threshold", "about"):
        assert getattr(before, name) == getattr(after, name)
    assert not after.training
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt"]


def test_a_pretrained_network_needs_no_download_to_come_back(tmp_path, monkeypatch):
    backbone = build_backbone()
    before = ImageClassifier(
        TransferModel(backbone, 3), {"name": "efficientnet_lite0"}, CLASSES, 64, backbone.mean,
        backbone.std,
    )  # fmt: skip
    save_classifier(before, tmp_path / "model.pt")
    monkeypatch.setattr("course_utils.transfer._imagenet_weights", lambda name: 1 / 0)
    after = load_classifier(tmp_path / "model.pt")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(before(images), after(images))


def test_top_names_the_likeliest_classes_first():
    picture = Image.effect_noise((50, 40), 80)
    network = small()
    network.train()
    table = network.top(picture, most=2)
    pixels = v2.functional.pil_to_tensor(resize_to_square(32)(picture.convert("RGB")))
    with torch.no_grad():
        values, indices = small()(pixels[None])[0].topk(2)
    assert table["class"].tolist() == [CLASSES[index] for index in indices]
    assert table["probability"].tolist() == pytest.approx(values.tolist())
    assert network.training
    assert network.is_sure(0.6) and not network.is_sure(0.5999)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of a stranger was run')",)


def content(**changes):
    """What a good file holds, with changes; None takes a key away."""
    network = small()
    good = {
        "kind": module.KIND,
        "version": module.VERSION,
        "architecture": {"name": "SmallCNN", "width": 4},
        "classes": CLASSES,
        "image_size": 32,
        "how": "pad",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "temperature": 1.0,
        "threshold": 0.5,
        "about": {},
        "weights": network.net.state_dict(),
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


WRONG = [
    ({"kind": "something else"}, "is no model file of this course"),
    ({"version": 2}, "another version of course_utils"),
    ({"mean": None}, "no whole model file: mean is missing"),
    ({"classes": ["a", "b"]}, "does not fit this network"),
    ({"classes": ["a", "a", "b"]}, "its classes makes no sense"),
    ({"classes": [1, 2, 3]}, "its classes makes no sense"),
    ({"architecture": {"name": "os.system"}}, "its architecture makes no sense"),
    ({"architecture": {"name": ["SmallCNN"]}}, "its architecture makes no sense"),
    ({"architecture": {"name": "SmallCNN", "width": 10**9}}, "a network that there is not"),
    ({"architecture": {"name": "SmallCNN", "depth": 3}}, "a network that there is not"),
    ({"architecture": {"name": "SmallCNN", "width": 8}}, "does not fit this network"),
    ({"image_size": 0}, "its image_size makes no sense"),
    ({"image_size": 10**9}, "its image_size makes no sense"),
    ({"image_size": True}, "its image_size makes no sense"),
    ({"how": "stretch"}, "its how makes no sense"),
    ({"mean": [0.5, 0.5]}, "its mean and std makes no sense"),
    ({"std": [0.5, 0.0, 0.5]}, "its mean and std makes no sense"),
    ({"std": [0.5, float("nan"), 0.5]}, "its mean and std makes no sense"),
    ({"temperature": 0.0}, "its temperature makes no sense"),
    ({"temperature": float("inf")}, "its temperature makes no sense"),
    ({"threshold": 1.5}, "its threshold makes no sense"),
    ({"about": {"data": 3}}, "its about makes no sense"),
    ({"weights": [1, 2]}, "holds no weights by name"),
    ({"weights": {"features.0.0.weight": "text"}}, "holds no numbers"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[str(w[0])[:40] for w in WRONG])
def test_a_file_that_makes_no_sense_is_refused(changes, message, tmp_path):
    torch.save(content(**changes), tmp_path / "model.pt")
    with pytest.raises(ModelFileError, match=message) as caught:
        load_classifier(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_the_content_of_the_test_is_good(tmp_path):
    torch.save(content(), tmp_path / "model.pt")
    assert load_classifier(tmp_path / "model.pt").classes == CLASSES


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save(content(about=Bomb()), tmp_path / "model.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("model.pt", "plain.pt"):
        with pytest.raises(ModelFileError, match="was not loaded"):
            load_classifier(tmp_path / name)


def test_every_cut_of_a_file_is_refused(tmp_path):
    save_classifier(small(), tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    for cut in range(0, len(whole), len(whole) // 40):
        (tmp_path / "cut.pt").write_bytes(whole[:cut])
        with pytest.raises(ModelFileError):
            load_classifier(tmp_path / "cut.pt")
    with pytest.raises(ModelFileError, match="no file"):
        load_classifier(tmp_path / "none.pt")


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelFileError, match="could not be written"):
        save_classifier(small(), tmp_path / "file" / "model.pt")
