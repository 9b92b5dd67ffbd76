"""Exported networks give the same answers, or say how far they are away."""

import json

import onnx
import pytest
import torch
from test_classifier import CLASSES, small

from image_classifier import export
from image_classifier.model import ModelFileError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export.export_onnx(small(), path)
    return path


@pytest.fixture
def images():
    return torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)


def test_onnx_says_the_same_for_batches_of_any_size(exported, images):
    with torch.no_grad():
        wanted = small()(images)
    for batch_size in (1, 3, 32):
        found = export.onnx_probabilities(exported, images, batch_size)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_file_is_whole_and_knows_its_classes(exported):
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["classes"]) == CLASSES
    assert [given.name for given in model.graph.input] == ["images"]
    assert [path.name for path in exported.parent.iterdir()] == ["model.onnx"]


def test_8_bits_are_smaller_and_close(exported, images, tmp_path):
    path = tmp_path / "int8.onnx"
    export.quantize_onnx(small(), images, path)
    found = export.onnx_probabilities(path, images)
    wanted = export.onnx_probabilities(exported, images)
    assert (found - wanted).abs().max() < 0.1
    assert not torch.equal(found, wanted)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert "QuantizeLinear" in kinds
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]


def test_mistakes_are_named(tmp_path, images):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    for name in ("bad.onnx", "none.onnx"):
        with pytest.raises(ModelFileError, match="is missing or is no ONNX file"):
            export.onnx_probabilities(tmp_path / name, images)
    with pytest.raises(ModelFileError, match="could not be written"):
        export.export_onnx(small(), tmp_path / "bad.onnx" / "model.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_missing_packages_are_named(missing, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(ModelFileError, match=r"course-utils\[deploy\]"):
        export.export_onnx(small(), tmp_path / "model.onnx")
