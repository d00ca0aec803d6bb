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
from html import escape
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
    parts = _parts(EQUATIONS[module][number])
    for part in parts:
        glossary.mark(part, module)
    return _written(parts)


def typeset(tex: str) -> str:
    """LaTeX as MathML, an element for each part between two \\qquad; no letter is marked."""
    return _written(_parts(tex))


def _written(parts: list[ElementTree.Element]) -> str:
    return "".join(ElementTree.tostring(part, encoding="unicode") for part in parts)


def _parts(tex: str) -> list[ElementTree.Element]:
    """One <math> for each part; one that goes on with what stands before it, as "+ x" or "= x", has the class "on"."""
    parts = list(map(_math, tex.split(r"\qquad")))
    for part in parts:
        first = next(element for element in part.iter() if element.text)
        if first.tag == "mo" and first.text in "+=":
            first.attrib |= {"form": "infix", "lspace": ".22em", "rspace": ".22em"}
            if part is not parts[0]:
                part.set("class", "on")
    return parts


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


# ---------------------------------------------------------------- letters in a sentence

GREEK = dict(alpha="α", beta="β", gamma="γ", delta="δ", eta="η", theta="θ", lam="λ", mu="μ", nu="ν", pi="π", rho="ρ",
             sigma="σ", tau="τ")
# A piece of code; the words of a link; a letter with an index; a power; a Greek letter by itself.
PIECE = re.compile(rf"""`(?P<code>[^`]+)` | \[(?P<link>[^\]]+)\]\(\S+\.md\)
    | (?<!\w)(?<!\w\.)(?P<base>[A-Za-zα-ω]|{"|".join(GREEK)}|sum|prod|mean|gap)
      _(?P<index>{{[^}}]+}}|[-<]?[A-Za-z0-9]{{1,3}})(?!\w)
    | (?<=[\w)\]|])\^(?P<power>\([^()]+\)|-?[A-Za-z0-9]+(?:_\w)?)(?!\w)
    | (?<!\w)(?<!\w\.)(?P<greek>{"|".join(GREEK)})(?![\w=]|\.\w)""", re.VERBOSE)


def prose(text: str) -> str:
    """A sentence of a docstring as HTML: `code`, letters with their indices, powers, Greek letters.

    >>> prose("the `ratio` rho_t of pi_old, (w - 1)^2 < e^-m")
    'the <code>ratio</code> ρ<sub>t</sub> of π<sub>old</sub>, (w - 1)<sup>2</sup> &lt; e<sup>-m</sup>'
    >>> prose("logp_old and f_dpo_loss(beta=1) are names")
    'logp_old and f_dpo_loss(beta=1) are names'
    """
    said, done = "", 0
    for found in PIECE.finditer(text):
        said, done = said + escape(text[done:found.start()], quote=False), found.end()
        base, index, power, greek = found.group("base", "index", "power", "greek")
        if code := found["code"] or found["link"]:
            said += f"<code>{escape(code, quote=False)}</code>"
        elif base:
            said += f"{GREEK.get(base, base)}<sub>{prose(index.strip('{}'))}</sub>"
        else:
            said += f"<sup>{prose(power.strip('()'))}</sup>" if power else GREEK[greek]
    return said + escape(text[done:], quote=False)
