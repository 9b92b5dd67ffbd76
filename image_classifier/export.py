"""Export a classifier to ONNX, in float32 or quantized to int8.

>>> export_onnx(classifier, "build/model/model.onnx")
>>> onnx_probabilities("build/model/model.onnx", images)
"""

import json
import logging
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

INSTALL = "Export needs more packages: pip install 'course-utils[deploy]'."


def export_onnx(classifier: ImageClassifier, path: str | Path) -> None:
    """Write a classifier as an ONNX file.

    The input "images" is uint8 of shape (batch, 3, image_size, image_size) for any batch size, the
    output is "probabilities". The metadata holds the class names, a JSON list under "classes".

    Args:
        classifier: A classifier on the CPU.
        path: The file to write.

    Raises:
        ModelFileError: Packages are missing, or the file cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError:
        raise ModelFileError(INSTALL) from None
    size = classifier.image_size
    with _quiet(), _atomic(path) as scratch:
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


def onnx_probabilities(path: str | Path, images: Tensor, batch_size: int = 32) -> Tensor:
    """Compute probabilities with onnxruntime on the CPU.

    Args:
        path: A file of `export_onnx` or `quantize_onnx`.
        images: uint8 of shape (count, 3, image_size, image_size).
        batch_size: Number of images per batch.

    Raises:
        ModelFileError: onnxruntime is missing, or the file is missing or damaged.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ModelFileError(INSTALL) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception class per kind of failure
        raise ModelFileError(f"{Path(path).name} is missing or is not an ONNX file.") from error
    batches = [session.run(None, {"images": part.numpy()})[0] for part in images.split(batch_size)]
    return torch.from_numpy(np.concatenate(batches))


def quantize_onnx(classifier: ImageClassifier, images: Tensor, path: str | Path) -> None:
    """Write a classifier as an ONNX file whose convolutions compute in int8.

    Static quantization (Jacob et al. 2018): activation ranges are measured on some images. The
    first convolution and depthwise convolutions keep float32: they have few weights, and
    quantizing them changes most predictions.

    Args:
        classifier: A classifier on the CPU.
        images: About a hundred training images, uint8 of shape (count, 3, image_size, image_size).
        path: The file to write.

    Raises:
        ModelFileError: Packages are missing, or the file cannot be written.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise ModelFileError(INSTALL) from None

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images.split(16))

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    with _quiet(), _atomic(path) as scratch:
        float_model, prepared = scratch.with_name("float.onnx"), scratch.with_name("prepared.onnx")
        export_onnx(classifier, float_model)
        quant_pre_process(float_model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            scratch,
            Batches(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: older processors add pairs in 16 bits, which overflow
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_sensitive_convolutions(prepared),
        )


def _sensitive_convolutions(path: Path) -> list[str]:
    """List the first convolution and all grouped convolutions of an ONNX file."""
    import onnx

    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    grouped = [
        node
        for node in nodes
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]
    return [node.name for node in [*nodes[:1], *grouped]]


@contextmanager
def _atomic(path: str | Path) -> Iterator[Path]:
    """Yield a scratch file that is moved to `path` if the block succeeds."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            yield Path(folder) / "model.onnx"
            os.replace(Path(folder) / "model.onnx", path)
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{path.name} cannot be written: {reason}.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings and log messages of the exporters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(level)
