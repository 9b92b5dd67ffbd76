"""Stamp the address of the course on GitHub into everything that names it.

    python tools/publish.py owner/name main

The address stands in pyproject.toml. From there it goes to the links to Colab, Kaggle and Binder,
at the top of each notebook and in the README; to the set-up cells, which install the course from
it; and to CITATION.cff. The website reads it from pyproject.toml when it is built.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
USAGE = "Say where the course is on GitHub: make publish REPO=owner/name BRANCH=main"


class AddressError(ValueError):
    """What was given is no address; the message says what one looks like."""


@dataclass(frozen=True)
class Address:
    """Where the course lies on GitHub.

    Attributes:
        repository: Owner and name, for example "ada/course".
        branch: A branch or a tag.
    """

    repository: str
    branch: str = "main"

    def __post_init__(self) -> None:
        """Refuse what GitHub would not know."""
        if not self.repository:
            raise AddressError(USAGE)
        if not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", self.repository):
            raise AddressError(f"{self.repository!r} is not owner/name. {USAGE}")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", self.branch):
            raise AddressError(f"{self.branch!r} is not the name of a branch. {USAGE}")

    @property
    def url(self) -> str:
        """The page of the repository."""
        return f"https://github.com/{self.repository}"

    @property
    def tree(self) -> str:
        """The page of the branch."""
        return f"{self.url}/tree/{self.branch}"

    @property
    def archive(self) -> str:
        """All files of the branch in one zip file, which pip can install."""
        return f"{self.url}/archive/{self.branch}.zip"

    @property
    def site(self) -> str:
        """Where .github/workflows/site.yml publishes the website."""
        owner, name = self.repository.split("/")
        return f"https://{owner.lower()}.github.io/{name}/"

    def colab(self, path: str) -> str:
        """Where Colab opens a notebook of the repository."""
        return f"https://colab.research.google.com/github/{self._blob(path)}"

    def kaggle(self, path: str) -> str:
        """Where Kaggle makes a copy of a notebook of the repository."""
        return f"https://kaggle.com/kernels/welcome?src=https://github.com/{self._blob(path)}"

    def binder(self, path: str) -> str:
        """Where Binder builds the environment and opens a notebook in JupyterLab."""
        branch, place = quote(self.branch, safe=""), quote(f"lab/tree/{path}", safe="")
        return f"https://mybinder.org/v2/gh/{self.repository}/{branch}?urlpath={place}"

    def _blob(self, path: str) -> str:
        return f"{self.repository}/blob/{self.branch}/{path}"


def read_address(root: Path = ROOT) -> Address | None:
    """Read the address from pyproject.toml; None as long as the course is not published."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    tree = project.get("urls", {}).get("Repository")
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)/tree/(.+)", tree or "")
    return Address(*found.groups()) if found else None


# What is written where. Without an address each function removes what another run has written.


def stamp_project(text: str, address: Address | None) -> str:
    """Write the address into pyproject.toml."""
    text = re.sub(r'\[project\.urls\]\nRepository = "[^"]*"\n\n', "", text)
    if address is None:
        return text
    table = f'[project.urls]\nRepository = "{address.tree}"\n\n'
    return re.sub(r"^\[project\.optional-dependencies\]", rf"{table}\g<0>", text, flags=re.M)


def stamp_citation(text: str, address: Address | None) -> str:
    """Write the address into CITATION.cff."""
    text = re.sub(r'repository-code: "[^"]*"\n', "", text)
    return text if address is None else f'{text}repository-code: "{address.url}"\n'


def links(path: str, address: Address) -> str:
    """Write the links that open a notebook in the cloud."""
    return (
        f"[Colab]({address.colab(path)}) · [Kaggle]({address.kaggle(path)}) · "
        f"[Binder]({address.binder(path)})"
    )


def below_title(text: str, line: str, begins: str) -> str:
    """Put a paragraph below a title, in place of one that was put there before.

    Args:
        text: Markdown that starts with a title.
        line: The paragraph; nothing is put there if it is empty.
        begins: How such a paragraph begins.
    """
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
    first = re.search(r"\((notebooks/\w+\.ipynb)\)", text)[1]
    badges = " ".join(
        (
            f"[![Tests]({workflow}/badge.svg?branch={address.branch})]({workflow})",
            "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
            f"({address.colab(first)})",
            f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({address.binder(first)})",
            f"[The course as a website]({address.site})",
        )
    )
    text = below_title(text, badges, "[![Tests]")
    row = re.compile(r"^(\| \[.+?\]\((notebooks/\w+\.ipynb)\)) \|", re.MULTILINE)
    return row.sub(lambda found: f"{found[1]}<br>{links(found[2], address)} |", text)


def stamp_notebook(nb: NotebookNode, path: str, address: Address | None) -> None:
    """Write the links below the title of a notebook, and the address into its set-up cell.

    Args:
        nb: Changed in place.
        path: The notebook's path in the repository.
        address: Where the course is; None removes what was there.
    """
    [setup] = [cell for cell in nb.cells if "setup" in cell.metadata.get("tags", ())]
    archive = "" if address is None else address.archive
    setup.source = re.sub(r'^online = "[^"]*"', f'online = "{archive}"', setup.source, flags=re.M)
    line = "" if address is None else f"Open it in {links(path, address)}"
    nb.cells[0].source = below_title(nb.cells[0].source, line, "Open it in [Colab]")


def stamped(root: Path, address: Address | None) -> dict[Path, str]:
    """Give the new content of every file that names the address.

    Args:
        root: A checkout of the course.
        address: Where the course is on GitHub, or None.

    Returns:
        The texts by file, whether they change or not.
    """
    texts = {
        root / name: change((root / name).read_text("utf-8"), address)
        for name, change in (
            ("pyproject.toml", stamp_project),
            ("CITATION.cff", stamp_citation),
            ("README.md", stamp_readme),
        )
    }
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        stamp_notebook(nb, path.relative_to(root).as_posix(), address)
        texts[path] = nbformat.writes(nb) + "\n"
    return texts


def main(arguments: list[str]) -> int:
    """Stamp the given address; 2 if it is none."""
    repository, branch = [*arguments, "", ""][:2]
    repository = re.sub(r"^https://github\.com/|(\.git)?/?$", "", repository)
    try:
        address = Address(repository, branch or "main")
    except AddressError as error:
        print(error, file=sys.stderr)
        return 2
    texts = stamped(ROOT, address)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(texts)} files name {address.tree} now; commit and push them.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
