"""Rules for the structure and language of the notebooks.

A rule is a function that takes a notebook and its name and yields (cell, problem). Cells, including
Markdown cells, are counted from 1; 0 is the notebook as a whole.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebooks import find_notebooks, parameters, tagged_cells
from tools.run import FOLDED
from tools.style import foreign_phrases

Findings = Iterator[tuple[int, str]]
MOST_LINES, MOST_CODE_CELLS, MOST_WORDS, MOST_ASSERTIONS = 15, 60, 3200, 8
SHORTEST_ALT = 20
# An absolute path, but not the end of a relative path or of a URL.
ABSOLUTE = re.compile(r"(?<![\w./~*-])/(?:home|root|tmp|Users)\b|(?<!\w)[A-Z]:\\(?!n)")
LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s+\S")
UNCOMPARED = re.compile(r"nbval[-_](?:ignore[-_]output|skip)", re.IGNORECASE)


def rule_title(nb: NotebookNode, name: str) -> Findings:
    """The first cell starts with the only heading of level 1, which has the file's number."""
    headings = [text for _, level, text in headings_of(nb) if level == 1]
    if len(headings) != 1:
        yield 1, f"there must be one heading of level 1, not {len(headings)}"
    number = name.split("_")[0]
    if not re.match(rf"# {number}\. \S", nb.cells[0].source):
        yield 1, f'the notebook must start with the heading "# {number}. …"'


def rule_objectives(nb: NotebookNode, name: str) -> Findings:
    """A list of three to five objectives comes before any code."""
    _, found, after = introduction(nb).partition("You will be able to")
    if not found:
        yield 0, 'no list "You will be able to" before the first code cell'
        return
    lines = [line for line in after.splitlines()[1:] if line.strip()]
    starts = [bool(LIST_ITEM.match(line)) or line.startswith("  ") for line in lines]
    end = starts.index(False) if False in starts else len(lines)
    items = sum(bool(LIST_ITEM.match(line)) for line in lines[:end])
    if not 3 <= items <= 5:
        yield 0, f"three to five objectives, not {items}"


def rule_prerequisites_and_minutes(nb: NotebookNode, name: str) -> Findings:
    """The introduction states the prerequisites and the minutes."""
    text = introduction(nb).lower()
    if "prerequisite" not in text:
        yield 0, "no prerequisites before the first code cell"
    if not re.search(r"\d\s*(?:minutes?|min)\b", text):
        yield 0, "no minutes before the first code cell"


def rule_first_code(nb: NotebookNode, name: str) -> Findings:
    """Set-up, parameters and imports come first, in this order, each once and folded."""
    code = [cell for _, cell in code_cells(nb)]
    for position, tag in enumerate(("setup", "parameters", "imports")):
        count = sum(tag in tags(cell) for cell in code)
        if count != 1:
            yield 0, f"{count} cells tagged {tag!r}, instead of one"
        if not any(tag in tags(cell) for cell in code[position : position + 1]):
            yield 0, f"code cell {position + 1} must be the one tagged {tag!r}"
    for number, cell in code_cells(nb):
        is_folded = "hide-input" in tags(cell) and cell.metadata.get("cellView") == "form"
        if FOLDED & {*tags(cell)} and not (is_folded and cell.source.startswith("# @title ")):
            yield number, 'must start with "# @title " and be folded: run make notebooks'


def rule_sections(nb: NotebookNode, name: str) -> Findings:
    """Headings of level 2 are numbered in order; exercises and a recap are among them."""
    found = [(number, text) for number, level, text in headings_of(nb) if level == 2]
    for expected, (number, text) in enumerate(found, start=1):
        if not text.startswith(f"{expected}. "):
            yield number, f'the heading "{text}" must start with "{expected}. "'
    for part in ("exercise", "recap"):
        if not any(part in text.lower() for _, text in found):
            yield 0, f"no numbered section called {part!r}"


def rule_alt_text(nb: NotebookNode, name: str) -> Findings:
    """Every figure has an alt text."""
    for number, cell in code_cells(nb):
        for output in cell.outputs:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            if "image/png" in output.get("data", {}) and len(alt.strip()) < SHORTEST_ALT:
                yield number, f"a picture with alt text {alt!r}, under {SHORTEST_ALT} characters"


def rule_clean_outputs(nb: NotebookNode, name: str) -> Findings:
    """Outputs contain no unintended error, and nothing on stderr."""
    for number, cell in code_cells(nb):
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield number, f"an error is stored: {output.ename}"
            if output.get("name") == "stderr":
                yield number, f"stderr is stored: {output.text.strip().splitlines()[:1]}"


def rule_no_absolute_path(nb: NotebookNode, name: str) -> Findings:
    """No absolute path."""
    for number, cell in enumerate(nb.cells, start=1):
        for text in (cell.source, *texts_of(cell)):
            if match := ABSOLUTE.search(text):
                line = text[match.start() :].splitlines()[0]
                yield number, f"an absolute path: {line[:40]}"


def rule_short_cells(nb: NotebookNode, name: str) -> Findings:
    """Code cells are short, except folded ones."""
    for number, cell in code_cells(nb):
        lines = len(cell.source.splitlines())
        if lines > MOST_LINES and not FOLDED & {*tags(cell)}:
            yield number, f"{lines} lines of code, over {MOST_LINES}"


def rule_size(nb: NotebookNode, name: str) -> Findings:
    """The notebook is short enough for one sitting and has few assertions."""
    code = [cell.source for _, cell in code_cells(nb)]
    cells = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    text = re.sub(r"^Open it in \[Colab\].*", "", "\n".join(cells), flags=re.MULTILINE)
    assertions = re.findall(r"^\s*assert\b", "\n".join(code), re.MULTILINE)
    for count, limit, what in (
        (len(code), MOST_CODE_CELLS, "code cells"),
        (len(text.split()), MOST_WORDS, "words of text"),
        (len(assertions), MOST_ASSERTIONS, "assertions; move claims to tests/claims"),
    ):
        if count > limit:
            yield 0, f"{count} {what} (at most {limit})"


def rule_language(nb: NotebookNode, name: str) -> Findings:
    """Text, code and outputs use the field's terms (tools/style.py)."""
    for number, cell in enumerate(nb.cells, start=1):
        for text in (cell.source, *texts_of(cell)):
            for phrase in foreign_phrases(text):
                yield number, phrase


def rule_equations(nb: NotebookNode, name: str) -> Findings:
    """Equations can be converted to MathML."""
    for number, cell in enumerate(nb.cells, start=1):
        if cell.cell_type == "markdown" and re.search(r"\\begin\{(?:align|eqn)", cell.source):
            yield number, "an aligned equation, which the website cannot show; write two"


def rule_execution_counts(nb: NotebookNode, name: str) -> Findings:
    """The stored notebook was run from top to bottom in a new kernel."""
    for expected, (number, cell) in enumerate(code_cells(nb), start=1):
        if cell.execution_count != expected:
            yield number, f"execution count {cell.execution_count} instead of {expected}"
            return


def rule_format(nb: NotebookNode, name: str) -> Findings:
    """Version 4.5, with a unique id for each cell, and the kernel python3."""
    if (nb.nbformat, nb.nbformat_minor) < (4, 5):
        yield 0, f"format {nb.nbformat}.{nb.nbformat_minor}, instead of 4.5"
    seen = set()
    for number, cell in enumerate(nb.cells, start=1):
        identity = cell.get("id")
        if not identity or identity in seen:
            yield number, f"the id {identity!r} is missing or not unique"
        seen.add(identity)
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        yield 0, "the kernel must be python3"


def rule_metadata(nb: NotebookNode, name: str) -> Findings:
    """The metadata has the minutes, and tiny values of existing parameters."""
    course = nb.metadata.get("course", {})
    minutes = course.get("minutes")
    if not isinstance(minutes, int | float) or minutes <= 0:
        yield 0, "metadata course.minutes must be a number over 0"
    if "tiny" not in course:
        yield 0, "metadata course.tiny is missing"
    known = parameters(nb)
    for key in course.get("tiny", {}):
        if key not in known:
            yield 0, f"metadata course.tiny sets {key!r}, which is no parameter"


def rule_headline(nb: NotebookNode, name: str) -> Findings:
    """One cell prints the main result."""
    count = sum("headline" in tags(cell) for _, cell in code_cells(nb))
    if count != 1:
        yield 0, f"{count} cells tagged 'headline', instead of one"


def rule_compared(nb: NotebookNode, name: str) -> Findings:
    """At least half of the cells with output are compared by nbval."""
    with_output = [cell for _, cell in code_cells(nb) if cell.outputs]
    compared = [cell for cell in with_output if not is_uncompared(cell)]
    if 2 * len(compared) < len(with_output):
        yield 0, f"only {len(compared)} of {len(with_output)} cells with output are compared"


def rule_pitfalls(nb: NotebookNode, name: str) -> Findings:
    """A pitfall box is a separate cell."""
    for number, cell in enumerate(nb.cells, start=1):
        is_text = cell.cell_type == "markdown"
        if is_text and "**Pitfall" in cell.source and not cell.source.startswith("> **Pitfall"):
            yield number, 'a Pitfall box must start its cell with "> **Pitfall"'


def rule_exercises(nb: NotebookNode, name: str) -> Findings:
    """Three to five exercises: a statement, the cell to change, and its check, in this order."""
    number, found = name.split("_")[0], tagged_cells(nb, "exercise")
    names = list(found)
    if names != [f"{number}.{k}" for k in range(1, len(names) + 1)] or not 3 <= len(names) <= 5:
        yield 0, f"three to five exercises, {number}.1 and so on; not {names}"
    for exercise, cell in found.items():
        place = nb.cells.index(cell)
        statement, check = nb.cells[place - 1], nb.cells[place + 1]
        if not statement.source.startswith(f"### Exercise {exercise}: "):
            yield place, f'the cell above must start with "### Exercise {exercise}: "'
        is_check = re.fullmatch(rf'check\("{exercise}", \w+\)', check.source)
        if not is_check or f"check-{exercise}" not in tags(check):
            yield place + 2, f"the cell below must be the check of {exercise}, and nothing else"
    if names and ": open" not in statement.source.splitlines()[0]:
        yield 0, "the last exercise must be an open one"


def rule_predictions(nb: NotebookNode, name: str) -> Findings:
    """There are at least two predictions, in separate cells, each with feedback below it."""
    found = tagged_cells(nb, "prediction")
    number = name.split("_")[0]
    if list(found) != [f"{number}.{letter}" for letter in "abcdef"[: len(found)]] or len(found) < 2:
        yield 0, f"two predictions or more, {number}.a and so on; not {list(found)}"
    for prediction, cell in found.items():
        place = nb.cells.index(cell)
        match = re.fullmatch(r"(\w+) = None(  # .+)?", cell.source)
        if not match or "Predict first" not in nb.cells[place - 1].source:
            yield place + 1, "a prediction is one line, guess = None, below its question"
            continue
        feedback = tagged_cells(nb, "feedback").get(prediction)
        call = f'compare("{prediction}", {match.group(1)}, '
        if feedback is None or nb.cells.index(feedback) < place or call not in feedback.source:
            yield place + 1, f"no feedback cell below with {call}…)"


def rule_quiz(nb: NotebookNode, name: str) -> Findings:
    """The notebook ends with five questions; one answer is right, and each has a reason."""
    quiz = [cell for cell in nb.cells if "quiz" in tags(cell)]
    if len(quiz) != 5:
        yield 0, f"five questions in the quiz, not {len(quiz)}"
    for position, cell in enumerate(quiz, start=1):
        place = nb.cells.index(cell) + 1
        if not cell.source.startswith(f"**Question {position}.** "):
            yield place, f'must start with "**Question {position}.** "'
        answers = re.findall(ANSWER, cell.source, re.DOTALL)
        letters = "".join(letter for letter, _, _ in answers)
        verdicts = [verdict for _, verdict, _ in answers]
        if letters not in ("ABC", "ABCD") or cell.source.count("<details>") != len(letters):
            yield place, f"answers A, B, C and perhaps D, not {letters!r}"
        if verdicts.count("Right") != 1 or any(len(why.strip()) < 20 for _, _, why in answers):
            yield place, "one answer is right, the others wrong, each with its reason"


ANSWER = (
    r"<details><summary>([A-D])\. [^\n]+</summary>\n\n(Right|Wrong)[:,] ((?:(?!<details).)+?)"
    r"\n\n</details>"
)
RULES = {
    rule.__name__.removeprefix("rule_"): rule
    for rule in list(globals().values())
    if getattr(rule, "__name__", "").startswith("rule_")
}


def lint(nb: NotebookNode, name: str) -> list[str]:
    """Apply all rules to a notebook; return one line per problem."""
    if not nb.cells:
        return [f"{name}: no cells"]
    found = (finding for rule in RULES.values() for finding in rule(nb, name))
    return [f"{name}: " + (f"cell {cell}: " if cell else "") + wrong for cell, wrong in found]


# Helpers of the rules


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def is_uncompared(cell: NotebookNode) -> bool:
    """Return whether nbval does not compare the outputs of a cell."""
    return any(UNCOMPARED.search(text) for text in (*tags(cell), cell.source))


def code_cells(nb: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """Return the code cells with their numbers among all cells, from 1."""
    return [(n, cell) for n, cell in enumerate(nb.cells, start=1) if cell.cell_type == "code"]


def introduction(nb: NotebookNode) -> str:
    """Return the text before the first code cell."""
    first = code_cells(nb)[0][0] if code_cells(nb) else len(nb.cells) + 1
    return "\n\n".join(cell.source for cell in nb.cells[: first - 1])


def headings_of(nb: NotebookNode) -> Iterator[tuple[int, int, str]]:
    """Yield (cell, level, text) of every heading that is not inside a block of code."""
    for number, cell in enumerate(nb.cells, start=1):
        if cell.cell_type == "markdown":
            prose = re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.DOTALL | re.MULTILINE)
            for marks, text in re.findall(r"^(#{1,6}) +(.+)$", prose, flags=re.MULTILINE):
                yield number, len(marks), text.strip()


def texts_of(cell: NotebookNode) -> Iterator[str]:
    """Yield all text in the outputs of a cell."""
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield "\n".join(output.get("traceback", []))
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/") and isinstance(content, str):
                yield content


def lint_files(files: Sequence[Path] | None = None) -> int:
    """Print the problems of notebooks, by default of the course; return 1 if there are any."""
    paths = files or find_notebooks()
    wrong = [line for path in paths for line in lint(nbformat.read(path, 4), path.stem)]
    print("\n".join(wrong) or f"{len(paths)} notebooks, nothing wrong")
    return int(bool(wrong))
