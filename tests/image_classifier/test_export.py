"""Exported classifiers give the same probabilities, quantized ones similar probabilities."""

import json
import sys

import onnx
import pytest
import torch

from image_classifier import export
from image_classifier.model import ModelFileError


@pytest.fixture(scope="session")
def exported(tmp_path_factory, make_classifier, run):
    """An ONNX file that the command wrote."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("image_classifier.model.load_classifier", lambda path: make_classifier())
        result = run("export", path.with_name("model.pt"))
    assert result.code == 0 and "model.onnx, " in result.out
    return path


@pytest.fixture
def images():
    return torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)


def test_onnx_gives_the_same_probabilities_for_any_batch_size(exported, images, make_classifier):
    with torch.no_grad():
        expected = make_classifier()(images)
    for count in (1, 3, 7):
        result = export.onnx_probabilities(exported, images[:count])
        torch.testing.assert_close(result, expected[:count], rtol=1e-4, atol=1e-5)


def test_the_file_is_valid_and_holds_the_classes(exported, make_classifier):
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["classes"]) == make_classifier().classes
    assert [given.name for given in model.graph.input] == ["images"]
    assert [path.name for path in exported.parent.iterdir()] == ["model.onnx"]


def test_quantized_probabilities_are_similar(exported, images, tmp_path, monkeypatch):
    path = tmp_path / "int8.onnx"
    monkeypatch.setattr(export, "FEW_WEIGHTS", 300)  # the first of two convolutions has 216
    export.quantize_onnx(exported, images, path)
    result = export.onnx_probabilities(path, images)
    expected = export.onnx_probabilities(exported, images)
    assert (result - expected).abs().max() < 0.1
    assert not torch.equal(result, expected)
    graph = onnx.load(path).graph
    is_int8 = {
        tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8
    }
    scaled = [node for node in graph.node if node.input and node.input[0] in is_int8]
    assert [node.op_type for node in scaled] == ["DequantizeLinear"]
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]


def test_files_that_cannot_be_used(tmp_path, images, make_classifier):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    for name in ("bad.onnx", "none.onnx"):
        with pytest.raises(ModelFileError, match="is missing or is not an ONNX file"):
            export.onnx_probabilities(tmp_path / name, images)
    with pytest.raises(ModelFileError, match="cannot be written"):
        export.export_onnx(make_classifier(), tmp_path / "bad.onnx" / "model.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_missing_packages_are_named(missing, tmp_path, monkeypatch, make_classifier):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelFileError, match=r"course-utils\[deploy\]"):
        export.export_onnx(make_classifier(), tmp_path / "model.onnx")
