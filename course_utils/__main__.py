"""The command line of the course; `python -m course_utils --help` lists its commands."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course_utils.paths import OutputFolderError, show_path, spare_home


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
    from course_utils import run
    from course_utils.paths import output_folder

    output = options.output.absolute() if options.output else output_folder()
    chosen = run.Options(
        output, options.tiny, dict(options.parameters), options.timeout, options.jobs
    )
    try:
        results = run.run_all(run.find_notebooks(options.only), chosen)
    except run.RunError as error:
        return _refuse(error)
    print("\n" + run.summary(results))
    print(f"\nTo read: {show_path(output / 'html' / 'index.html')}")
    return 0 if all(result.ok for result in results) else 1


def _list(options: argparse.Namespace) -> int:
    import nbformat

    from course_utils import run

    try:
        paths = run.find_notebooks()
    except run.RunError as error:
        return _refuse(error)
    rows = []
    for path in paths:
        nb = nbformat.read(path, as_version=4)
        number, _, name = run.title(nb).partition(". ")
        minutes = nb.metadata.get("course", {}).get("minutes", "-")
        rows.append({"number": number, "title": name, "minutes": minutes})
    print(run.format_table(rows))
    return 0


def _data_list(options: argparse.Namespace) -> int:
    from course_utils.data.catalog import table
    from course_utils.run import format_table

    print(format_table(table()))
    return 0


def _data_get(options: argparse.Namespace) -> int:
    from course_utils.data import DataError
    from course_utils.data.catalog import prepare

    try:
        print(show_path(prepare(options.name)))
    except DataError as error:
        return _refuse(error)
    return 0


def _edition(options: argparse.Namespace) -> int:
    from course_utils import editions

    build = {"student": editions.build_student, "instructor": editions.build_instructor}
    try:
        folder = build[options.edition](options.output.absolute())
    except editions.EditionError as error:
        return _refuse(error)
    print(f"{show_path(folder)} and {show_path(folder)}.zip")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from course_utils import grade
    from course_utils.paths import output_folder
    from course_utils.run import RunError, format_table

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
        return _refuse(OSError(f"Cannot write to the folder {show_path(output)} ({reason})."))
    if submissions:
        print(format_table(grade.rows(submissions)))
    for remark in remarks:
        print(remark)
    print(f"\nTo read: {show_path(output / 'grades.html')} and {show_path(output / 'grades.csv')}")
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
