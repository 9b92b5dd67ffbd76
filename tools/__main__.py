"""The commands of the course: `python -m tools COMMAND`, from the root of the checkout."""

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from course_utils.errors import CourseError
from course_utils.paths import display_path, output_folder


class Commands(TyperGroup):
    """Exits with one sentence and status 2 for errors that users can fix, with 130 for Ctrl-C."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the command that was chosen."""
        try:
            return super().invoke(ctx)
        except CourseError as error:
            typer.echo(error, err=True)
            raise typer.Exit(2) from None
        except BrokenPipeError:
            raise  # the output is piped to `head`: typer exits quietly
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            typer.echo(f"{error.strerror or error}{where}.", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    help=__doc__,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Output = Annotated[Path | None, typer.Option(help="Folder to write to.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[02 ...]", help="Numbers or names.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of notebooks run in parallel.")]
EditionOutput = Annotated[Path, typer.Option(help="Folder to write to.")]


@app.command()
def run(
    names: Names = None,
    only: Annotated[list[str] | None, typer.Option(help="Another way to give names.")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="Small parameters, for testing.")] = False,
    jobs: Jobs = 1,
    output: Output = None,
    p: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME VALUE", help="Set a parameter; may be repeated."),
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Time limit per cell in seconds.")] = 900,
) -> None:
    """Run notebooks and write them as HTML pages (default: all, to build/)."""
    import nbformat

    from tools.notebooks import find_notebooks, set_parameters, tiny_parameters
    from tools.run import Run, run_notebooks, table

    values = {name: value for name, _, value in (pair.partition("=") for pair in p or ())}
    runs = []
    for path in find_notebooks([*(only or ()), *(names or ())]):
        nb = nbformat.read(path, as_version=4)
        nb = set_parameters(nb, (tiny_parameters(nb) if tiny else {}) | values)
        runs.append(Run(path, nb, timeout))
    output = output.absolute() if output else output_folder()
    run_notebooks(runs, output, jobs)
    print(f"\n{table(runs)}\n\nTo read: {display_path(output / 'html' / 'index.html')}")
    raise typer.Exit(int(any(run.error for run in runs)))


@app.command()
def execute(names: Names = None) -> None:
    """Execute the notebooks in place, for committing."""
    import nbformat

    from tools.notebooks import find_notebooks
    from tools.run import Run, execute_in_place

    runs = [Run(path, nbformat.read(path, as_version=4)) for path in find_notebooks(names or ())]
    execute_in_place(runs)
    raise typer.Exit(int(any(run.error for run in runs)))


@app.command()
def claims(
    names: Names = None,
    seeds: Annotated[str, typer.Option(help='Seeds, for example "0 1 2 3 4".')] = "0",
    jobs: Jobs = 1,
) -> None:
    """Check the claims of the notebooks with the default parameters and one or more seeds."""
    from tools.claims import check_claims

    if not all(seed.isdecimal() for seed in seeds.split()):
        raise CourseError(f'--seeds must be numbers, for example "0 1 2", not {seeds!r}.')
    table = check_claims(names or (), [int(seed) for seed in seeds.split()], jobs)
    print(table.replace({True: "ok", False: "FAILED"}).to_string(na_rep=""))
    raise typer.Exit(int(table.eq(False).any(axis=None)))


@app.command("list")
def list_notebooks() -> None:
    """List the notebooks."""
    import nbformat

    from tools.notebooks import find_notebooks, title

    for path in find_notebooks():
        nb = nbformat.read(path, as_version=4)
        print(f"{title(nb)} ({nb.metadata.course.minutes} min)")


@app.command()
def datasets() -> None:
    """List the datasets of the catalog."""
    from course_utils.catalog import CATALOG

    for name, entry in CATALOG.items():
        print("{:13}  {description}; {license}; network {network}".format(name, **entry))


@app.command()
def get(name: str) -> None:
    """Prepare a dataset as a folder of images."""
    from course_utils.catalog import prepare_dataset

    print(display_path(prepare_dataset(name)))


@app.command()
def student(output: EditionOutput = Path("dist")) -> None:
    """Build the student edition as a folder and a zip file."""
    from tools.editions import build_student

    folder = build_student(output.absolute())
    print(f"{display_path(folder)} and {display_path(folder)}.zip")


@app.command()
def instructor(output: EditionOutput = Path("dist")) -> None:
    """Build the instructor edition as a folder and a zip file."""
    from tools.editions import build_instructor

    folder = build_instructor(output.absolute())
    print(f"{display_path(folder)} and {display_path(folder)}.zip")


@app.command()
def grade(
    folder: Path,
    output: Output = None,
    jobs: Jobs = 2,
    cell_seconds: Annotated[int, typer.Option(min=1, help="Time limit per cell in seconds.")] = 60,
    notebook_seconds: Annotated[
        int, typer.Option(min=1, help="Time limit per notebook in seconds.")
    ] = 600,
) -> None:
    """Grade a folder of submitted notebooks (results: build/grades)."""
    from tools.grade import grade_folder

    output = output.absolute() if output else output_folder("grades")
    grade_folder(folder, output, jobs, cell_seconds, notebook_seconds)


@app.command()
def gradebook(exported: Annotated[Path, typer.Argument(metavar="EXPORTED.CSV")]) -> None:
    """Enter the grades into a gradebook exported from Moodle or Canvas (build/grades)."""
    from tools.gradebook import enter_points

    folder = output_folder("grades")
    for remark in enter_points(exported, folder / "grades.csv", folder / "gradebook.csv"):
        print(remark)
    print(f"To import: {display_path(folder / 'gradebook.csv')}")


@app.command()
def site() -> None:
    """Build the website, offline: build/site/index.html."""
    from tools.site import build_site

    print(f"To read: {display_path(build_site() / 'index.html')}")


@app.command()
def slides() -> None:
    """Write slides for each notebook, from its stored outputs: build/slides."""
    from tools.slides import write_slides

    print(display_path(write_slides(output_folder("slides"))[0].parent))


@app.command()
def curves() -> None:
    """Compute the curves of the website's game: docs/_static/curves.js."""
    from tools.curves import write_curves

    print(display_path(write_curves()))


@app.command()
def publish(
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME")] = "",
    branch: Annotated[str, typer.Argument()] = "main",
) -> None:
    """Write the course's address on GitHub (owner/name) into all links to it."""
    from tools.publish import publish_as

    print(publish_as(repository, branch))


@app.command()
def lint(files: Annotated[list[Path] | None, typer.Argument()] = None) -> None:
    """Check the structure and language of the notebooks."""
    from tools.lint_notebooks import lint_files

    raise typer.Exit(lint_files(files))


@app.command()
def screenshots() -> None:
    """Take the screenshots of TensorBoard for notebook 06; needs Chromium."""
    from tools.screenshots import make_screenshots

    for path in make_screenshots():
        print(display_path(path))


@app.command()
def pitfalls() -> None:
    """Write notebooks/pitfalls.md from the pitfall boxes of the notebooks."""
    from tools.pitfalls import write_page

    write_page()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; raise SystemExit with its status."""
    words = iter(sys.argv[1:] if arguments is None else arguments)
    # typer does not support repeated options with two values: join -p NAME VALUE to NAME=VALUE.
    joined = [["-p", "=".join(islice(words, 2))] if word == "-p" else [word] for word in words]
    app([word for part in joined for word in part], prog_name="python -m tools")


if __name__ == "__main__":
    main()
