"""Write the address of the course on GitHub into everything that links to it.

The address is stored in pyproject.toml. From there it is copied to the links to Colab, Kaggle and
Binder, at the top of each notebook and in the README; to the set-up cells, which install the course
from it; and to CITATION.cff. The website reads it from pyproject.toml when it is built.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from course_utils.errors import CourseError
from tools.notebooks import ROOT, tagged

USAGE = "Say where the course is on GitHub: make publish REPO=owner/name BRANCH=main"


@dataclass(frozen=True)
class Address:
    """Where the course is on GitHub: "owner/name", and a branch or tag."""

    repository: str
    branch: str = "main"

    def __post_init__(self) -> None:
        """Reject invalid names."""
        if not self.repository:
            raise CourseError(USAGE)
        if not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", self.repository):
            raise CourseError(f"{self.repository!r} is not owner/name. {USAGE}")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", self.branch):
            raise CourseError(f"{self.branch!r} is not the name of a branch. {USAGE}")

    @property
    def url(self) -> str:
        """The page of the repository."""
        return f"https://github.com/{self.repository}"

    @property
    def archive(self) -> str:
        """All files of the branch in one zip file, which pip can install."""
        return f"{self.url}/archive/{self.branch}.zip"

    @property
    def site(self) -> str:
        """Where .github/workflows/site.yml publishes the website."""
        owner, name = self.repository.split("/")
        host = f"{owner.lower()}.github.io"
        return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"

    def links(self, path: str) -> dict[str, str]:
        """The links that open a notebook in Colab, Kaggle and Binder."""
        blob = f"github.com/{self.repository}/blob/{self.branch}/{path}"
        branch, place = quote(self.branch, safe=""), quote(f"lab/tree/{path}", safe="")
        return {
            "Colab": f"https://colab.research.google.com/{blob.replace('.com', '', 1)}",
            "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://{blob}",
            "Binder": f"https://mybinder.org/v2/gh/{self.repository}/{branch}?urlpath={place}",
        }

    def line(self, path: str) -> str:
        """The links as Markdown."""
        return " · ".join(f"[{name}]({link})" for name, link in self.links(path).items())


def read_address(root: Path = ROOT) -> Address | None:
    """Read the address from pyproject.toml; None if the course is not published."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    tree = project.get("urls", {}).get("Repository")
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)/tree/(.+)", tree or "")
    return Address(*found.groups()) if found else None


# Without an address, each of these functions removes the previous one.


def stamp_project(text: str, address: Address | None) -> str:
    """Write the address into pyproject.toml."""
    text = re.sub(r'\[project\.urls\]\nRepository = "[^"]*"\n\n', "", text)
    if address is None:
        return text
    table = f'[project.urls]\nRepository = "{address.url}/tree/{address.branch}"\n\n'
    return re.sub(r"^\[project\.optional-dependencies\]", rf"{table}\g<0>", text, flags=re.M)


def stamp_citation(text: str, address: Address | None) -> str:
    """Write the address into CITATION.cff."""
    text = re.sub(r'repository-code: "[^"]*"\n', "", text)
    return text if address is None else f'{text}repository-code: "{address.url}"\n'


def below_title(text: str, line: str, begins: str) -> str:
    """Put a paragraph below the title, or remove it (""); the old one begins with `begins`."""
    title, rest = text.split("\n\n", 1)
    if rest.startswith(begins):
        rest = rest.split("\n\n", 1)[1]
    return "\n\n".join([title, line, rest] if line else [title, rest])


def stamp_readme(text: str, address: Address | None) -> str:
    """Write the badges below the title, and the links into the table of the notebooks."""
    text = below_title(text, "", "[![Tests]")
    text = re.sub(r"(\]\(notebooks/\w+\.ipynb\))<br>\[Colab\][^|]+ \|", r"\1 |", text)
    if address is None:
        return text
    workflow = f"{address.url}/actions/workflows/tests.yml"
    first = address.links(re.search(r"\((notebooks/\w+\.ipynb)\)", text)[1])
    badges = (
        f"[![Tests]({workflow}/badge.svg?branch={address.branch})]({workflow}) "
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"({first['Colab']}) "
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({first['Binder']}) "
        f"[The course as a website]({address.site})"
    )
    text = below_title(text, badges, "[![Tests]")
    row = re.compile(r"^(\| \[.+?\]\((notebooks/\w+\.ipynb)\)) \|", re.MULTILINE)
    return row.sub(lambda found: f"{found[1]}<br>{address.line(found[2])} |", text)


def stamp_notebook(nb: NotebookNode, path: str, address: Address | None) -> None:
    """Write the links below the title of a notebook, and the address into its set-up cell."""
    setup = tagged(nb, "setup")
    archive = address.archive if address else ""
    setup.source = re.sub(r'^online = "[^"]*"', f'online = "{archive}"', setup.source, flags=re.M)
    line = f"Open it in {address.line(path)}" if address else ""
    nb.cells[0].source = below_title(nb.cells[0].source, line, "Open it in [Colab]")


def stamped(root: Path, address: Address | None) -> dict[Path, str]:
    """Return the new text of every file that contains the address, even if it is unchanged."""
    files = {
        "pyproject.toml": stamp_project,
        "CITATION.cff": stamp_citation,
        "README.md": stamp_readme,
    }
    texts = {root / n: stamp((root / n).read_text("utf-8"), address) for n, stamp in files.items()}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        stamp_notebook(nb, path.relative_to(root).as_posix(), address)
        texts[path] = nbformat.writes(nb) + "\n"
    return texts


def publish_as(repository: str, branch: str) -> str:
    """Write the address into all files and return a summary.

    Raises:
        CourseError: The address is not valid.
    """
    repository = re.sub(r"^https://github\.com/|(\.git)?/?$", "", repository)
    address = Address(repository, branch or "main")
    texts = stamped(ROOT, address)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return f"{len(texts)} files now link to {address.url} ({address.branch}); commit and push them."
