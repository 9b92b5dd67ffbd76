"""A model file restores the classifier exactly; other files are refused."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from image_classifier import model as module
from image_classifier.model import ModelFileError, load_classifier, save_classifier


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)


@pytest.fixture
def classifier(make_classifier):
    """A classifier with a backbone of the catalog, which can be loaded again."""
    return make_classifier("mobilenet_v3_small", 64)


def test_probabilities_follow_from_the_parts(make_classifier, images):
    preprocess = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])]
    )
    classifier = make_classifier()
    expected = (classifier.net(preprocess(images)) / 1.5).softmax(dim=1)
    torch.testing.assert_close(classifier(images), expected)


def test_loading_restores_everything(make_classifier, tmp_path, images, monkeypatch):
    before = make_classifier(
        "mobilenet_v3_small", 64, resize_mode="crop", threshold=1, trained_on=["0a"]
    )
    before.mean += 0.1  # the file holds the normalization; the backbone's default does not count
    save_classifier(before, tmp_path / "new" / "model.pt")
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", None)  # no download
    after = load_classifier(tmp_path / "new" / "model.pt")
    with torch.no_grad():
        assert torch.equal(before(images), after(images))
    for name in module.SCHEMA.keys() - {"weights"}:
        assert getattr(before, name) == getattr(after, name)
    assert not after.training
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt"]


def test_top_lists_the_most_likely_classes(make_classifier):
    picture = Image.effect_noise((50, 40), 80)
    classifier = make_classifier(classes=list("abcdefg"))
    classifier.train()
    top = classifier.top(picture)
    assert classifier.training
    classifier.eval()
    pixels = classifier.preprocess(picture)
    with torch.no_grad():
        values, indices = classifier(pixels[None])[0].topk(5)
    assert list(top) == [classifier.classes[index] for index in indices]
    assert list(top.values()) == pytest.approx(values.tolist())
    assert len(make_classifier().top(picture)) == 3
    assert classifier.is_confident(0.6) and not classifier.is_confident(0.5999)


def test_preprocess_converts_as_load_does(make_classifier, tmp_path):
    """Defect: transparent pixels had another color than in training, deep images were clipped."""
    transparent = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    deep = Image.fromarray(np.full((40, 40), 30000, np.uint16))
    classifier = make_classifier()
    for name, image in (("a.png", transparent), ("b.png", deep)):
        image.save(tmp_path / name)
        assert torch.equal(classifier.preprocess(image), classifier.load(tmp_path / name))


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (1000, 60), (7, 5)])
def test_crop_equals_resizing_the_shorter_side_and_cropping_the_center(size, make_classifier):
    picture = Image.radial_gradient("L").resize(size).convert("RGB")
    expected = v2.Compose(
        [v2.Resize(256, interpolation=v2.InterpolationMode.BICUBIC), v2.CenterCrop(224)]
    )
    pixels = make_classifier(image_size=224, resize_mode="crop").preprocess(picture).int()
    assert (pixels - v2.functional.pil_to_tensor(expected(picture)).int()).abs().max() <= 3


@pytest.mark.parametrize("resize_mode", ["crop", "squash"])
def test_images_of_extreme_shapes(resize_mode, make_classifier):
    """Defect: a square around a panorama took gigabytes."""
    classifier = make_classifier(resize_mode=resize_mode)
    for size in ((1, 1), (1, 60_000), (60_000, 2)):
        assert classifier.preprocess(Image.new("RGB", size, "red"))[0].min() > 250
    half = Image.new("RGB", (20, 10), "red")
    half.paste("blue", (0, 0, 10, 10))
    pixels = classifier.preprocess(half)
    assert pixels[2, 16, 2] > 250 and pixels[0, 16, 29] > 250


def test_large_jpeg_files_are_decoded_at_a_reduced_size(make_classifier, tmp_path):
    Image.radial_gradient("L").resize((900, 700)).convert("RGB").save(tmp_path / "large.jpg")
    classifier = make_classifier()
    reduced = classifier.load(tmp_path / "large.jpg").int()
    complete = classifier.preprocess(Image.open(tmp_path / "large.jpg")).int()
    assert 0 < (reduced - complete).abs().max() <= 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "something else"}, "is not a model file .* train FOLDER"),
        ({"classes": None}, "its classes is missing or not valid"),
        ({"classes": ["a", 1, "b"]}, "its classes is missing or not valid"),
        ({"image_size": "large"}, "its image_size is missing or not valid"),
        ({"image_size": 0}, "its image_size is missing or not valid"),
        ({"resize_mode": "stretch"}, "its resize_mode is missing or not valid"),
        ({"temperature": 0.0}, "its temperature is missing or not valid"),
        ({"threshold": float("nan")}, "its threshold is missing or not valid"),
        ({"trained_on": [1]}, "its trained_on is missing or not valid"),
        ({"about": {"data": 1}}, "its about is missing or not valid"),
        ({"weights": [1, 2]}, "its weights is missing or not valid"),
        ({"classes": ["a", "b"]}, "does not fit this network"),
        ({"backbone": "os.system"}, "'os.system'"),
    ],
)
def test_content_that_does_not_fit_is_refused(changes, message, classifier, tmp_path):
    path = tmp_path / "model.pt"
    save_classifier(classifier, path)
    torch.save(torch.load(path, weights_only=True) | changes, path)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('code in a model file was run')",)


def test_code_in_a_file_is_not_run(classifier, tmp_path):
    save_classifier(classifier, tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    torch.save(content | {"about": Bomb()}, tmp_path / "model.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("model.pt", "plain.pt"):
        with pytest.raises(ModelFileError, match=name):
            load_classifier(tmp_path / name)


def test_truncated_and_missing_files_are_refused(classifier, tmp_path):
    save_classifier(classifier, tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    for length in (0, 2, 1000, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.pt").write_bytes(content[:length])
        with pytest.raises(ModelFileError, match=r"cut\.pt"):
            load_classifier(tmp_path / "cut.pt")
    with pytest.raises(ModelFileError, match=r"none\.pt"):
        load_classifier(tmp_path / "none.pt")
