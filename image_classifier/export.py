"""Export a classifier to ONNX, in float32 or quantized to int8."""

import json
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from image_classifier.model import ImageClassifier, ModelFileError

FEW_WEIGHTS = 30_000  # convolutions with fewer weights are not quantized
INSTALL = "Export needs more packages: pip install 'course-utils[deploy]'."


def export_onnx(classifier: ImageClassifier, path: str | Path) -> None:
    """Write a classifier on the CPU as an ONNX file.

    The input "images" is uint8 of shape (batch, 3, image_size, image_size) for any batch size; the
    output is "probabilities". The metadata has the class names as a JSON list under "classes".
    """
    size = classifier.image_size
    with _exporting(path) as scratch:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx needs it

        program = torch.onnx.export(
            classifier.eval(),
            (torch.zeros(2, 3, size, size, dtype=torch.uint8),),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        )
        program.save(scratch)
        model = onnx.load(scratch)
        onnx.helper.set_model_props(model, {"classes": json.dumps(classifier.classes)})
        onnx.save(model, scratch)


def onnx_probabilities(path: str | Path, images: Tensor) -> Tensor:
    """Compute probabilities of uint8 images (count, 3, image_size, image_size) with onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise ModelFileError(INSTALL) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types of errors
        raise ModelFileError(f"{Path(path).name} is missing or is not an ONNX file.") from error
    batches = [session.run(None, {"images": part.numpy()})[0] for part in images.split(32)]
    return torch.from_numpy(np.concatenate(batches))


def quantize_onnx(float_model: str | Path, images: Tensor, path: str | Path) -> None:
    """Write a copy of a file of `export_onnx` whose convolutions compute in int8.

    Static quantization (Jacob et al. 2018): activation ranges are calibrated on about a hundred
    training images, uint8 of shape (count, 3, image_size, image_size). Convolutions with few
    weights, that is, the first and the depthwise ones, stay in float32: quantizing them changes
    predictions but hardly reduces the file size.
    """
    batches = ({"images": batch.numpy()} for batch in images.split(16))
    with _exporting(path) as scratch:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Batches(CalibrationDataReader):
            def get_next(self) -> dict | None:
                return next(batches, None)

        prepared = scratch.with_name("prepared.onnx")
        quant_pre_process(float_model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            scratch,
            Batches(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: on older processors, 16-bit sums of pairs may overflow
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_small_convolutions(prepared),
        )


def _small_convolutions(path: Path) -> list[str]:
    """List the convolutions of an ONNX file that have few weights."""
    import onnx

    graph = onnx.load(path).graph
    weights = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    return [node.name for node in nodes if weights[node.input[1]] < FEW_WEIGHTS]


@contextmanager
def _exporting(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file that is moved to `path` on success; silence the exporters."""
    path, level = Path(path), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            warnings.catch_warnings(action="ignore"),
            tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder,
        ):
            yield Path(folder) / "model.onnx"
            os.replace(Path(folder) / "model.onnx", path)
    except ImportError as error:
        raise ModelFileError(INSTALL) from error
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{path.name} cannot be written: {reason}.") from error
    finally:
        logging.disable(level)
