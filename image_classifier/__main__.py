"""The command line of the course; `python -m course_utils --help` lists its commands."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from course_utils.paths import OutputFolderError, display_path, spare_home


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The words of the command line; those of the process if None.

    Returns:
        The exit status: 0 all went well, 1 a notebook failed, 2 what was asked is not possible,
        130 stopped with Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that lacks a character shows "?" instead
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    spare_home()
    try:
        return options.command(options)
    except OutputFolderError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from course_utils.paths import output_folder
    from tools import notebooks

    output = options.output.absolute() if options.output else output_folder()
    chosen = notebooks.Options(
        output, options.tiny, dict(options.parameters), options.timeout, options.jobs
    )
    try:
        results = notebooks.run_all(notebooks.find_notebooks(options.only), chosen)
    except notebooks.RunError as error:
        return _refuse(error)
    print("\n" + notebooks.summary(results))
    print(f"\nTo read: {display_path(output / 'html' / 'index.html')}")
    return 0 if all(result.ok for result in results) else 1


def _list(options: argparse.Namespace) -> int:
    import nbformat

    from tools import notebooks

    try:
        paths = notebooks.find_notebooks()
    except notebooks.RunError as error:
        return _refuse(error)
    rows = []
    for path in paths:
        nb = nbformat.read(path, as_version=4)
        number, _, name = notebooks.title(nb).partition(". ")
        minutes = nb.metadata.get("course", {}).get("minutes", "-")
        rows.append({"number": number, "title": name, "minutes": minutes})
    print(notebooks.format_table(rows))
    return 0


def _data_list(options: argparse.Namespace) -> int:
    from course_utils.catalog import catalog_table
    from tools.notebooks import format_table

    print(format_table(catalog_table()))
    return 0


def _data_get(options: argparse.Namespace) -> int:
    from course_utils.catalog import prepare_dataset
    from course_utils.errors import DataError

    try:
        print(display_path(prepare_dataset(options.name)))
    except DataError as error:
        return _refuse(error)
    return 0


def _data_tidy(options: argparse.Namespace) -> int:
    from course_utils.errors import DataError
    from image_classifier.prepare import CARD, prepare_folder

    target = options.output or options.folder.with_name(f"{options.folder.name}-tidy")
    try:
        catalog_table = prepare_folder(options.folder, target, options.seed)
    except DataError as error:
        return _refuse(error)
    for row in catalog_table[catalog_table["set"] == "left out"].itertuples():
        print(f"left out: {row.file} ({row.why})")
    counts = catalog_table["set"].value_counts()
    print(", ".join(f"{counts.get(name, 0)} {name}" for name in ("train", "val", "test")))
    print(f"To read: {display_path(target / CARD)}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from course_utils.paths import output_folder
    from image_classifier import workflow

    output = options.output or output_folder("model")
    chosen = workflow.TrainOptions(
        backbone=options.backbone,
        image_size=options.image_size,
        epochs=options.epochs,
        fine_tune=options.fine_tune,
        threshold=options.threshold,
        seed=options.seed,
    )
    return _reported(output, lambda: workflow.train_classifier(options.data, output, chosen)[1])


def _evaluate(options: argparse.Namespace) -> int:
    from course_utils.paths import output_folder
    from image_classifier import workflow

    output = options.output or output_folder("evaluation")
    return _reported(
        output, lambda: workflow.evaluate_classifier(options.model, options.data, output)
    )


def _reported(output: Path, work: Callable[[], "pandas.Series"]) -> int:  # noqa: F821
    """Do something that leaves a report, and say how it ended."""
    try:
        metrics = work()
    except _problems() as error:
        return _refuse(error)
    print(
        f"accuracy {metrics['accuracy']:.3f} on {metrics['images']:.0f} test images "
        f"(95 % interval {metrics['accuracy low']:.3f} to {metrics['accuracy high']:.3f})"
    )
    print(f"To read: {display_path(output / 'index.html')}")
    if (output / "model.pt").is_file():
        print(f"To use: python -m course_utils predict {display_path(output / 'model.pt')} FILES")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from image_classifier import workflow
    from image_classifier.model import load_classifier
    from tools.notebooks import format_table

    try:
        catalog_table = workflow.predict_files(load_classifier(options.model), options.files)
        if options.csv:
            catalog_table.to_csv(options.csv, index=False)
    except _problems() as error:
        return _refuse(error)
    except OSError as error:
        return _refuse(OSError(f"{options.csv} could not be written: {error.strerror or error}."))
    shown = catalog_table[catalog_table["problem"] == ""].assign(
        probability=catalog_table["probability"].map("{:.3f}".format)
    )
    if len(shown):
        print(format_table(shown.drop(columns="problem").to_dict("records")))
    for problem in catalog_table["problem"][catalog_table["problem"] != ""]:
        print(problem, file=sys.stderr)
    return 1 if (catalog_table["problem"] != "").any() else 0


def _export(options: argparse.Namespace) -> int:
    from image_classifier.export import export_onnx
    from image_classifier.model import load_classifier

    output = options.output or options.model.with_suffix(".onnx")
    try:
        export_onnx(load_classifier(options.model), output)
    except _problems() as error:
        return _refuse(error)
    print(f"{display_path(output)}, {output.stat().st_size / 1e6:.1f} MB")
    return 0


def _app(options: argparse.Namespace) -> int:
    from image_classifier.app import serve
    from image_classifier.model import load_classifier

    try:
        serve(load_classifier(options.model), options.port)
    except _problems() as error:
        return _refuse(error)
    return 0


def _problems() -> tuple[type[Exception], ...]:
    """Give the errors whose messages are meant for users."""
    from course_utils.errors import DataError, WeightsError
    from image_classifier.model import ModelFileError

    return DataError, ModelFileError, WeightsError


def _edition(options: argparse.Namespace) -> int:
    from tools import editions

    build = {"student": editions.build_student, "instructor": editions.build_instructor}
    try:
        folder = build[options.edition](options.output.absolute())
    except editions.EditionError as error:
        return _refuse(error)
    print(f"{display_path(folder)} and {display_path(folder)}.zip")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from course_utils.paths import output_folder
    from tools import grade
    from tools.notebooks import RunError, format_table

    limits = grade.Limits(options.seconds, options.memory)
    output = options.output.absolute() if options.output else output_folder("grades")
    try:
        submissions, remarks = grade.grade_folder(options.folder, limits, options.jobs)
        output.mkdir(parents=True, exist_ok=True)
        grade.write_csv(output / "grades.csv", submissions)
        grade.write_report(output / "grades.html", submissions, remarks, limits)
    except (grade.GradeError, RunError) as error:
        return _refuse(error)
    except OSError as error:
        reason = error.strerror or error
        return _refuse(OSError(f"Cannot write to the folder {display_path(output)} ({reason})."))
    if submissions:
        print(format_table(grade.rows(submissions)))
    for remark in remarks:
        print(remark)
    print(
        f"\nTo read: {display_path(output / 'grades.html')} and {display_path(output / 'grades.csv')}"
    )
    return 0


def _refuse(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_utils", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the notebooks and make HTML of them")
    run.add_argument("--only", nargs="+", default=[], metavar="02", help="numbers or names")
    run.add_argument("--tiny", action="store_true", help="small parameters, to test that all runs")
    run.add_argument("--jobs", type=_positive, default=1, help="how many at a time (default: 1)")
    run.add_argument("--output", type=Path, help="folder to write to (default: build)")
    run.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter of the notebooks; may be given several times",
    )
    run.add_argument(
        "--timeout", type=_positive, default=900, help="seconds for one cell (default: 900)"
    )
    run.set_defaults(command=_run)

    listing = commands.add_parser("list", help="list the notebooks")
    listing.set_defaults(command=_list)

    data = commands.add_parser("data", help="list or prepare sets of images")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="list the sets").set_defaults(command=_data_list)
    get = actions.add_parser("get", help="prepare a set as a folder of images")
    get.add_argument("name", metavar="NAME")
    get.set_defaults(command=_data_get)
    prepare_folder = actions.add_parser(
        "tidy", help="check, clean and divide a folder of your own images"
    )
    prepare_folder.add_argument("folder", type=Path, metavar="FOLDER")
    prepare_folder.add_argument("--output", type=Path, help="folder to make (default: FOLDER-tidy)")
    prepare_folder.add_argument("--seed", type=int, default=0, help="of the division (default: 0)")
    prepare_folder.set_defaults(command=_data_tidy)
    _add_model_commands(commands)
    for name in ("student", "instructor"):
        edition = commands.add_parser(name, help=f"make the edition for {name}s, and a zip of it")
        edition.add_argument(
            "--output", type=Path, default=Path("dist"), help="folder to write to (default: dist)"
        )
        edition.set_defaults(command=_edition, edition=name)

    grade = commands.add_parser("grade", help="mark a folder of handed-in notebooks")
    grade.add_argument("folder", type=Path, metavar="FOLDER")
    grade.add_argument("--output", type=Path, help="folder to write to (default: build/grades)")
    grade.add_argument(
        "--seconds",
        type=_positive,
        default=60,
        help="the longest time for one exercise (default: 60)",
    )
    grade.add_argument(
        "--memory", type=_positive, default=4096, help="the most memory, in MiB (default: 4096)"
    )
    grade.add_argument("--jobs", type=_positive, default=1, help="how many notebooks at a time")
    grade.set_defaults(command=_grade)
    return parser


def _add_model_commands(commands: "argparse._SubParsersAction") -> None:
    train = commands.add_parser("train", help="train a classifier on a folder of images")
    train.add_argument(
        "data", metavar="FOLDER", help="one subfolder a class, or a name of data list"
    )
    train.add_argument("--output", type=Path, help="folder for model.pt and report (build/model)")
    train.add_argument("--backbone", default="efficientnet_lite0", help="the pretrained network")
    train.add_argument("--image-size", type=_pixels, default=224, help="pixels (default: 224)")
    train.add_argument("--epochs", type=_positive, default=40, help="of the head, at most (40)")
    train.add_argument(
        "--fine-tune",
        type=_not_negative,
        default=0,
        help="epochs of the whole network (default: 0)",
    )
    train.add_argument(
        "--threshold", type=_share, default=0.5, help='"not sure" below this (default: 0.5)'
    )
    train.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    train.set_defaults(command=_train)

    evaluate = commands.add_parser("evaluate", help="judge a model file on a folder of images")
    evaluate.add_argument("model", type=Path, metavar="MODEL")
    evaluate.add_argument("data", metavar="FOLDER")
    evaluate.add_argument("--output", type=Path, help="folder for the report (build/evaluation)")
    evaluate.set_defaults(command=_evaluate)

    predict = commands.add_parser("predict", help="classify image files")
    predict.add_argument("model", type=Path, metavar="MODEL")
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE")
    predict.add_argument("--csv", type=Path, help="also write the answers to this file")
    predict.set_defaults(command=_predict)

    export = commands.add_parser("export", help="write a model file as ONNX")
    export.add_argument("model", type=Path, metavar="MODEL")
    export.add_argument("--output", type=Path, help="file to write (default: MODEL.onnx)")
    export.set_defaults(command=_export)

    app = commands.add_parser("app", help="serve a web page that classifies pictures")
    app.add_argument("model", type=Path, metavar="MODEL")
    app.add_argument("--port", type=_positive, help="of this computer (default: from 7860 on)")
    app.set_defaults(command=_app)


def _pixels(text: str) -> int:
    number = int(text)
    if not 32 <= number <= 1024:
        raise argparse.ArgumentTypeError("must be from 32 to 1024")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
