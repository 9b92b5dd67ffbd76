"""The process in which one handed-in notebook is judged; `tools.grade` starts it.

It reads the answers from stdin as JSON and writes a line of JSON about each exercise. Its own
output has a channel that the handed-in code does not know, and a word that this code has not seen:
whatever an answer prints is lost.
"""

import ast
import builtins
import json
import os
import sys
from collections.abc import Callable
from inspect import getattr_static
from typing import Any

import numpy
import pandas
import torch
import torch.nn.functional
import torch.testing

import course_exercises
from course_exercises import WRONG, Verdict, checks_of, examine

TAMPERED = "tampered"
WATCHED = (builtins, numpy, pandas, torch, torch.testing, torch.nn.functional)


def main() -> None:
    """Judge the answers, one after the other."""
    job = json.loads(sys.stdin.buffer.readline())
    report = _reporter(job.pop("word"))
    checks_of(job["notebook"])  # imported before any code that may not be trusted
    before = _fingerprint()
    report({"ready": True})
    space = {"__name__": "__main__"}
    for statement in ast.parse(job["definitions"]).body:
        _try(statement, space)
    for answer in job["answers"]:
        verdict = _judge(answer, space)
        if _changed(before):
            verdict = Verdict(TAMPERED, "The code changes modules that the checks rely on.")
        report({"name": answer["name"], "state": verdict.state, "text": verdict.text})
        if verdict.state == TAMPERED:
            return


def _reporter(word: str) -> Callable[[dict[str, Any]], None]:
    """Take stdout away from the code to come; what it prints goes nowhere."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    def report(line: dict[str, Any]) -> None:
        print(word, json.dumps(line), file=channel, flush=True)

    return report


def _try(statement: ast.stmt, space: dict[str, Any]) -> None:
    """Execute a definition; what fails is missed by the answers that need it."""
    try:
        exec(compile(ast.Module([statement], []), "<notebook>", "exec"), space)
    except BaseException:  # noqa: S110  sys.exit() among them
        pass


def _judge(answer: dict[str, str], space: dict[str, Any]) -> Verdict:
    try:
        for code in answer["cells"]:
            exec(compile(code, f"<exercise {answer['name']}>", "exec"), space)
        if answer["variable"] not in space:
            return Verdict(WRONG, f"The cell does not define {answer['variable']}.")
        return examine(answer["name"], space[answer["variable"]])
    except BaseException as error:  # sys.exit() is no reason to stop
        return Verdict(WRONG, f"{type(error).__name__}: {error}".splitlines()[0])


def _fingerprint() -> dict[tuple[str, str], tuple[object, object]]:
    """Give every function and class of the modules that the checks rely on, with its code."""
    modules = [*WATCHED, *(m for name, m in sys.modules.items() if name.startswith("course_utils"))]
    spaces = {module.__name__: vars(module) for module in modules}
    tensor = torch.Tensor  # an attribute that hides one of its base class counts as a change
    spaces["Tensor"] = {name: getattr_static(tensor, name) for name in dir(tensor)}
    spaces["checks"] = course_exercises.CHECKS
    return {
        (space, name): (value, getattr(value, "__code__", None))
        for space, values in spaces.items()
        for name, value in list(values.items())
        if callable(value)
    }


def _changed(before: dict[tuple[str, str], tuple[object, object]]) -> bool:
    now = _fingerprint()
    return any(
        key not in now or now[key][0] is not value or now[key][1] is not code
        for key, (value, code) in before.items()
    )


if __name__ == "__main__":
    main()
