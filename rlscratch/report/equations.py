r"""The numbered equations of the formulas' docstrings, typeset: LaTeX in equations.toml, MathML on a page.

A docstring is read in help() and has plain characters; a browser can do better.  There stands each equation once more,
under its module and its number.  A test compares the numbers with those of the docstrings.

    mathml("ppo", 2)        <math ...>, with every letter of report/glossary.py marked
    numbers(function)       [("ppo", 3)]: the equations that the first line of a docstring names

Where a block of a docstring has equations that are not there, a page shows that block as it stands.
"""
import inspect
import re
import tomllib
from functools import cache
from importlib.resources import files
from xml.etree import ElementTree

from latex2mathml.converter import convert

from rlscratch.report import glossary

# What many of them have in common.
SHORT = {r"\LOSS": r"\frac{\partial L}{\partial \log\pi_t} =", r"\ROW": r"\frac{\partial L}{\partial \log\pi_{it}} =",
         r"\CLIP": r"\operatorname{clip}", r"\CHOSEN": r"\log\pi_c", r"\REJECTED": r"\log\pi_r"}


def _read() -> dict[str, dict[int, str]]:
    text = (files("rlscratch.report") / "equations.toml").read_text("utf-8")
    for short, whole in SHORT.items():
        text = text.replace(short, whole)
    return {module: {int(n): tex for n, tex in table.items()} for module, table in tomllib.loads(text).items()}


EQUATIONS = _read()


def numbers(module: str, function: object) -> list[tuple[str, int]]:
    """The equations that the first line of a docstring names, such as [("ppo", 3)]; of that module unless it says."""
    first = (inspect.getdoc(function) or "").split("\n")[0]
    other = re.search(r"\) of formulas\.(\w+)", first)
    found = [int(number) for number in re.findall(r"\((\d+)\)", first)]
    if "(" in first and re.match(r"Equations \(\d+\) to \(\d+\)", first):
        found = list(range(found[0], found[1] + 1))
    return [(other[1] if other else module, number) for number in found]


@cache
def mathml(module: str, number: int) -> str:
    """An equation as MathML, every letter that the glossary knows marked with its entry.

    Where the source has \\qquad a line may end, so each part between them is an element of its own.
    """
    return "".join(_element(part, module) for part in EQUATIONS[module][number].split(r"\qquad"))


def _element(tex: str, module: str) -> str:
    root = _math(tex)
    glossary.mark(root, module)
    return ElementTree.tostring(root, encoding="unicode")


def typeset(tex: str) -> str:
    """LaTeX as MathML, an element for each part between two \\qquad; no letter is marked."""
    return "".join(ElementTree.tostring(_math(part), encoding="unicode") for part in tex.split(r"\qquad"))


def _math(tex: str) -> ElementTree.Element:
    root = ElementTree.fromstring(convert(tex, display="block"))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for parent in list(root.iter()):
        for element, after in zip(parent, [*parent[1:], None], strict=False):
            if len(element.text or "") > 1 and element.tag in ("mi", "mo"):     # log, min, clip: a little room around
                bracket = after is not None and "".join(after.itertext())[:1] in "([{"
                element.tag, element.attrib = "mo", {"lspace": ".17em", "rspace": "0" if bracket else ".17em"}
    return root
