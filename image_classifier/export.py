"""Take a classifier out of PyTorch: ONNX files, as they are and with numbers of 8 bits.

>>> export_onnx(classifier, "build/model/model.onnx")
>>> onnx_probabilities("build/model/model.onnx", images)
"""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from image_classifier.model import ImageClassifier, ModelFileError

NEEDED = "Export needs more packages: pip install 'course-utils[deploy]'."


def export_onnx(classifier: ImageClassifier, path: str | Path) -> None:
    """Write a classifier as an ONNX file that takes pixels and gives probabilities.

    Normalization, temperature and softmax are part of the file, and the class names are in its
    metadata (a list in JSON, under "classes"), so there is nothing to get wrong around it.

    Args:
        classifier: A trained one, on the CPU.
        path: The file to write. Its input "images" is uint8 of shape (batch, 3, image_size,
            image_size), for batches of any size.

    Raises:
        ModelFileError: Packages are missing, or the file cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError:
        raise ModelFileError(NEEDED) from None
    size = classifier.image_size
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)

    def write(scratch: Path) -> None:
        program = torch.onnx.export(
            classifier.eval(),
            (example,),
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

    with _quiet():
        _whole_or_nothing(write, path)


def onnx_probabilities(path: str | Path, images: Tensor, batch_size: int = 32) -> Tensor:
    """Run an ONNX file with onnxruntime, on the CPU.

    Args:
        path: A file of `export_onnx` or `quantize_onnx`.
        images: uint8 of shape (count, 3, image_size, image_size).
        batch_size: How many at a time.

    Returns:
        Probabilities of shape (count, classes).

    Raises:
        ModelFileError: Packages are missing, or the file is missing or damaged.
    """
    session = _session(path)
    batches = images.split(batch_size)
    found = [session.run(None, {"images": batch.numpy()})[0] for batch in batches]
    return torch.from_numpy(np.concatenate(found))


def _session(path: str | Path) -> "onnxruntime.InferenceSession":  # noqa: F821
    try:
        import onnxruntime
    except ImportError:
        raise ModelFileError(NEEDED) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a kind of its own for each failure
        raise ModelFileError(f"{Path(path).name} is missing or is no ONNX file.") from error


def quantize_onnx(classifier: ImageClassifier, images: Tensor, path: str | Path) -> None:
    """Write a classifier as an ONNX file that computes with whole numbers of 8 bits.

    Static quantization (Jacob et al. 2018): some images show how large the numbers between the
    layers become, and each is then written as a whole number times a scale. The first convolution
    and those with one filter a channel keep float32: they hold few numbers, and rounding them
    changes most answers.

    Args:
        classifier: A trained one, on the CPU.
        images: Some training images, uint8 of shape (count, 3, image_size, image_size); a hundred
            are enough.
        path: The file to write.

    Raises:
        ModelFileError: Packages are missing, or the file cannot be written.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise ModelFileError(NEEDED) from None

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images.split(16))

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    def write(scratch: Path) -> None:
        whole, ready = scratch.with_name("whole.onnx"), scratch.with_name("ready.onnx")
        export_onnx(classifier, whole)
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            scratch,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: older processors add pairs in 16 bits, which overflow
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_delicate(ready),
        )

    with _quiet():
        _whole_or_nothing(write, path)


def _delicate(path: Path) -> list[str]:
    """Name the convolutions of a file that are better left as they are."""
    import onnx

    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    in_groups = [
        node
        for node in convolutions
        if any(given.name == "group" and given.i > 1 for given in node.attribute)
    ]
    return [node.name for node in [*convolutions[:1], *in_groups]]


def _whole_or_nothing(write: Callable[[Path], None], path: str | Path) -> None:
    """Let a function write into a scratch folder, then give the file its name."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            scratch = Path(folder) / "model.onnx"
            write(scratch)
            os.replace(scratch, path)
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{path.name} could not be written: {reason}.") from error


class _quiet(warnings.catch_warnings):
    """Keep what exporters tell of themselves out of notebooks; errors are still raised."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *error: object) -> None:
        logging.disable(self.level)
        super().__exit__(*error)
