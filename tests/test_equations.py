"""Typeset equations are those of the docstrings, every loss and gradient has one, and letters have one meaning each."""
import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rlscratch import formulas
from rlscratch.report import equations, glossary
from rlscratch.report.tour import library

pytestmark = pytest.mark.compiled_only("text, whichever backend computes")
ROOT = Path(__file__).resolve().parent.parent
DERIVATIONS = {derivation.name: derivation for derivation in library.derivations([], [])}


@pytest.mark.parametrize("module", equations.EQUATIONS)
def test_each_has_the_number_that_its_docstring_gives_it(module):
    text = ast.get_docstring(ast.parse((ROOT / DERIVATIONS[module].file).read_text("utf-8")))
    assert set(equations.EQUATIONS[module]) <= {int(n) for n in re.findall(r"\((\d+)\)", text)}


def test_each_loss_and_each_gradient_has_its_equation():
    wanted = {f"{derivation.name}.{formula.name}": formula.equations for derivation in DERIVATIONS.values()
              for formula in derivation.formulas if re.search(r"_(loss|grad)$", formula.name)}
    assert len(wanted) > 50 and set(DERIVATIONS) >= set(formulas.__all__)
    assert not {name: found for name, found in wanted.items() if not found or not all(
        number in equations.EQUATIONS.get(module, {}) for module, number in found)}


def test_the_equations_of_a_function_are_those_that_its_first_line_names():
    def named(first):
        def function():
            pass
        function.__doc__ = first + "\n\n(7) is something else."
        return equations.numbers("ppo", function)

    assert named("Equation (3), to be minimised.") == [("ppo", 3)]
    assert named("Equations (1) to (4) at every token.") == [("ppo", n) for n in (1, 2, 3, 4)]
    assert named("Equation (4) of formulas.kl for densities.") == [("kl", 4)]
    assert named("The sum over the last axis, (B, T).") == []


@pytest.mark.parametrize("module", equations.EQUATIONS)
def test_each_becomes_mathml_and_nothing_of_latex_is_left(module):
    for number in equations.EQUATIONS[module]:
        parts = equations.mathml(module, number)
        root = ElementTree.fromstring(f"<all>{parts}</all>")
        assert {part.tag for part in root} == {"math"} and len(root) >= 1
        assert not re.search(r"[\\_^]", "".join(root.itertext())), (module, number)


def test_a_part_that_goes_on_is_spaced_as_within_a_line_and_a_new_equation_is_not():
    one, other = ElementTree.fromstring(f"<p>{equations.mathml('td', 5)}</p>")
    assert (one.get("class"), other.get("class")) == (None, "on")
    assert other.find(".//mo").text == "+" and other.find(".//mo").get("form") == "infix"
    k_2 = ElementTree.fromstring(f"<p>{equations.mathml('kl', 3)}</p>")
    assert [part.get("class") for part in k_2] == [None, None]


def test_a_letter_means_what_it_means_in_its_module():
    assert glossary.meaning("d", "kl").meaning.startswith("log π(a)")
    assert glossary.meaning("d", "td").code == "`discount`"
    assert glossary.meaning("A", "ppo").code == "`advantage`"
    assert glossary.meaning("A", "td").meaning == "the number of actions"
    assert glossary.meaning("σ", "kl") is None and glossary.meaning("T", "kl") is None
    told = [glossary.tips()[int(place)].split(":")[0] for place in re.findall(
        r'data-tip="(\d+)" tabindex="0"', equations.mathml("ppo", 1))]
    assert told == ["ρ", "π", "a", "s", "π_old", "e^"]               # each can have the focus once


def test_numbers_and_letters_that_look_alike_are_told_apart():
    def told(module, number):
        root = ElementTree.fromstring(f"<all>{equations.mathml(module, number)}</all>")
        return {"".join(part.itertext()): glossary.tips()[int(part.get("data-tip"))] for part in root.iter()
                if part.get("data-tip")}

    assert set(told("continuous", 3)) == {"H", "l"}             # 2 pi e are numbers
    assert told("preference", 12)["r"].startswith("r: the answer that was rejected")
    assert told("grpo", 3)["k3,it"] == "k_3: the third estimator of the KL"
    assert told("ppo", 1)["πold,t"] == "π_old: the policy that sampled"


def test_every_letter_of_every_equation_says_what_it_is():
    def silent(element, told=False):
        told = told or "data-tip" in element.attrib
        if element.tag == "mi" and not told and len(element.text) == 1 and element.text not in "d′″":   # dx, f'
            yield element.text
        for child in element:
            yield from silent(child, told)

    for module, table in equations.EQUATIONS.items():
        for number in table:
            root = ElementTree.fromstring(f"<p>{equations.mathml(module, number)}</p>")
            assert [*silent(root)] == [], (module, number)


def test_letters_and_words_are_told_once():
    keys = [(symbol.key, module) for symbol in (*glossary.SYMBOLS, *glossary.LOCAL) for module in symbol.only or ("",)]
    assert len(keys) == len(set(keys))
    words = [term.word for term in glossary.TERMS]
    assert len(words) == len(set(words))
    assert {"agent", "environment", "beam search", "exploration", "policy"} <= set(words)
    known = set(DERIVATIONS)
    assert all(set(symbol.only) <= known for symbol in (*glossary.SYMBOLS, *glossary.LOCAL))


def test_names_in_code_are_names_of_the_code():
    files = [path for path in (ROOT / "rlscratch").rglob("*.py") if path.name != "glossary.py"]
    source = "\n".join(path.read_text("utf-8") for path in files)
    for symbol in (*glossary.SYMBOLS, *glossary.LOCAL):
        for name in re.findall(r"`(\w+)`", symbol.code):
            assert name == "x_loss" or re.search(rf"\b{name}\b", source), name


def test_readme_has_the_glossary_s_table():
    assert glossary.notation() in (ROOT / "README.md").read_text("utf-8")
