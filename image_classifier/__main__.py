"""The command line: `python -m image_classifier --help`."""

import errno
import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from course_utils.errors import CourseError
from course_utils.paths import display_path, output_folder

Model = Annotated[Path, Argument(metavar="MODEL", help="Model file written by train.")]
Folder = Annotated[str, Argument(metavar="FOLDER", help="Folder with one subfolder per class.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, Option(min=0, max=2**32 - 1, help="Random seed.")]


class Commands(typer.core.TyperGroup):
    """Prints an error that the user can fix as one line, and exits with status 2."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run a command."""
        for stream in (sys.stdout, sys.stderr):  # file names may not be encodable
            stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except CourseError as error:
            message = str(error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `... | head`: typer exits quietly
                raise
            message = f"{error.filename or 'Error'}: {error.strerror or error}."
        from course_utils.image_io import printable  # slow: it imports torchvision

        typer.echo(printable(message), err=True)  # names may contain line breaks
        raise typer.Exit(2)


def _refuse_nan(value: float) -> float:
    if math.isnan(value):
        raise typer.BadParameter("nan is not a number between 0 and 1.")
    return value


def _refuse_to_overwrite(output: Path, *inputs: Path) -> None:
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise CourseError(f"{output} is also an input. Choose a different output file.")


cli = typer.Typer(
    cls=Commands,
    help="Train, evaluate and use an image classifier.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@cli.command(epilog="Example: python -m image_classifier train photos --output build/photos")
def train(
    data: Folder,
    output: Annotated[Path | None, Option(show_default="build/model")] = None,
    backbone: Annotated[str, Option(help="Pretrained network.")] = "efficientnet_lite0",
    image_size: Annotated[int, Option(min=32, max=1024, help="Input size in pixels.")] = 224,
    fine_tune: Annotated[int, Option(min=0, help="Epochs of fine-tuning all layers.")] = 0,
    target: Annotated[
        float,
        Option(
            min=0,
            max=1,
            callback=_refuse_nan,
            help='Target accuracy of predictions that are not "not sure".',
        ),
    ] = 0.95,
    resume: Annotated[bool, Option("--resume", help="Continue interrupted fine-tuning.")] = False,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Train a classifier on a folder of images.

    With torchrun, several processes share the work.
    """
    from image_classifier import train as training

    output = output or output_folder("model")
    with training.process_group():
        _, metrics = training.train_classifier(
            data, output, backbone, image_size, fine_tune, target, resume, seed
        )
        if not training.is_main_process():
            return
    _print_result(metrics, output, as_json)
    if not as_json:
        model = display_path(output / training.MODEL_FILE)
        typer.echo(f"Use: python -m image_classifier predict {model} FILES")


@cli.command(epilog="Example: python -m image_classifier evaluate build/model/model.pt photos")
def evaluate(
    model: Model,
    data: Folder,
    output: Annotated[Path | None, Option(show_default="build/evaluation")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model file on a folder of images, except those it was trained on."""
    from image_classifier.evaluate import evaluate_classifier

    output = output or output_folder("evaluation")
    _print_result(evaluate_classifier(model, data, output), output, as_json)


def _print_result(metrics: "pandas.Series", output: Path, as_json: bool) -> None:  # noqa: F821
    from image_classifier.report import describe

    if as_json:
        typer.echo(metrics.to_json())
        return
    typer.echo(describe(metrics))
    typer.echo(f"Report: {display_path(output / 'index.html')}")


@cli.command(epilog="Example: python -m image_classifier predict build/model/model.pt cat.jpg")
def predict(
    model: Model,
    files: Annotated[list[Path], Argument(metavar="FILES", help="Images, or folders of them.")],
    csv: Annotated[Path | None, Option(help="Also write the table to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Classify images; the exit status is 1 if any cannot be read."""
    from course_utils.training import best_device
    from image_classifier.model import load_classifier
    from image_classifier.predict import predict_files

    if csv:
        from image_classifier.report import writable_folder  # slow: it imports matplotlib

        _refuse_to_overwrite(csv, model, *files)
        writable_folder(csv.parent)
    table = predict_files(load_classifier(model).to(best_device()), files)
    if csv:
        table.to_csv(csv, index=False)
    is_read = table["problem"] == ""
    if as_json:
        typer.echo(table.to_json(orient="records"))
    elif is_read.any():
        read = table[is_read].drop(columns="problem")
        typer.echo(read.to_string(index=False, float_format="{:.3f}".format))
    for problem in table["problem"][~is_read]:
        typer.echo(problem, err=True)
    if not is_read.all():
        typer.echo(f"{(~is_read).sum()} of {len(table)} files could not be read.", err=True)
        raise typer.Exit(1)


@cli.command(epilog="Example: python -m image_classifier export build/model/model.pt")
def export(
    model: Model,
    output: Annotated[Path | None, Option(show_default="MODEL.onnx")] = None,
) -> None:
    """Write a model file as ONNX."""
    from image_classifier.export import export_onnx
    from image_classifier.model import load_classifier

    output = output or model.with_suffix(".onnx")
    _refuse_to_overwrite(output, model)
    export_onnx(load_classifier(model), output)
    typer.echo(f"{display_path(output)}, {output.stat().st_size / 1e6:.1f} MB")


@cli.command(epilog="Example: python -m image_classifier app build/model/model.pt")
def app(
    model: Model,
    port: Annotated[int | None, Option(min=1, max=65535, show_default="7860 or next free")] = None,
) -> None:
    """Serve a web page that classifies images."""
    from image_classifier.app import serve
    from image_classifier.model import load_classifier

    serve(load_classifier(model), port)


@cli.command(epilog="Example: python -m image_classifier prepare photos --output checked")
def prepare(
    folder: Folder,
    output: Annotated[Path | None, Option(show_default="FOLDER-prepared")] = None,
    seed: Seed = 0,
) -> None:
    """Check a folder of your own images and split it into training, validation and test sets."""
    from course_utils.image_io import printable
    from image_classifier.prepare import CARD, FRACTIONS, LEFT_OUT, prepare_folder

    # abspath because "." has no name.
    output = output or Path(f"{os.path.abspath(folder)}-prepared")
    table = prepare_folder(folder, output, seed)
    for row in table[table["set"] == LEFT_OUT].itertuples():
        typer.echo(printable(f"left out: {row.file} ({row.why})"))
    counts = table["set"].value_counts()
    typer.echo(", ".join(f"{counts[name]} {name}" for name in FRACTIONS))
    typer.echo(f"Data card: {display_path(output / CARD)}")


if __name__ == "__main__":
    cli()
