"""Every script of the ladder runs, keeps the house's form, and prints what examples/expected/ says.

What a script prints is compared line by line.  Words must be equal; runs of spaces or of dashes count
as one, since a column may grow by a digit.  A number with decimals may be off by one unit of its last
printed digit, which is what rounding may do on another processor; a whole number may not, since it
counts something.

    python tests/test_examples.py --update [01 02 ...]

runs the scripts, or those named, and writes what they print as expected: read the difference first.
"""
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

import rlscratch
from rlscratch.files import write_atomic

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
EXPECTED = EXAMPLES / "expected"
SCRIPTS = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
LONGEST, LINES = 60, 120                            # seconds of a budget, lines of a script
GUARD = 10                                          # budgets after which a script counts as hanging
ON_NUMPY = 6                                        # seconds of a budget; longer scripts run on the compiled core alone

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])", re.ASCII)


def run(script, folder, budget):
    """What the script prints, with its figures in the folder; any warning is an error."""
    here = str(Path(rlscratch.__file__).parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "RLSCRATCH_OUT": str(folder), "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, encoding="utf-8",
                          env=environment, cwd=folder, timeout=max(60, GUARD * budget))
    assert done.returncode == 0, done.stderr
    return done.stdout


def budget_of(script):
    """The constant BUDGET, in seconds."""
    for node in ast.parse(script.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", None) for t in node.targets] == ["BUDGET"]:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{script.name} declares no BUDGET")


def expected_of(script):
    return EXPECTED / f"{script.stem}.txt"


# ---------------------------------------------------------------- the comparison

def differences(printed, expected):
    """Lines that differ by more than rounding, as messages; empty if there are none."""
    ours, theirs = printed.rstrip().splitlines(), expected.rstrip().splitlines()
    found = [f"line {i}: printed {a!r}, expected {b!r}"
             for i, (a, b) in enumerate(zip(ours, theirs, strict=False), 1) if not same_line(a, b)]
    return found if len(ours) == len(theirs) else [*found, f"{len(ours)} lines, expected {len(theirs)}"]


def same_line(a, b):
    numbers = NUMBER.findall(a), NUMBER.findall(b)
    return words(a) == words(b) and all(same_number(x, y) for x, y in zip(*numbers, strict=True))


def words(line):
    """The line without its numbers and without the width of its columns."""
    return re.sub(r"-{2,}", "--", re.sub(r" +", " ", NUMBER.sub("#", line))).strip()


def same_number(a, b):
    a, b = Decimal(a), Decimal(b)
    place = b.as_tuple().exponent
    if place >= 0 and a.as_tuple().exponent >= 0:
        return a == b
    return a.as_tuple().exponent == place and abs(a - b) <= Decimal(1).scaleb(place)


@pytest.mark.parametrize(("printed", "expected"), [
    ("A = 0.8006", "A = 0.8006"), ("A = 0.8006", "A = 0.8007"), ("A = 0.8006", "A = 0.8005"),
    ("cream    9.99  x", "cream   10.00  x"), ("----  -----", "-----  ------"), ("-0.00", "0.00"), ("-0.01", "0.00"),
    ("12.3% of 7", "12.4% of 7"), ("3.1e-05", "3.2e-05"), ("[0.1, 2.5]", "[0.2, 2.4]"), ("x", "x  \n\n")])
def test_rounding_and_widths_are_forgiven(printed, expected):
    assert not differences(printed, expected)


@pytest.mark.parametrize(("printed", "expected"), [
    ("A = 0.8006", "A = 0.8008"), ("A = 0.8006", "A = 0.8004"), ("A = 0.8006", "A = -0.8006"),
    ("A = 0.8006", "A = 0.801"), ("A = 0.8006", "B = 0.8006"), ("A = 0.8006", "A = 0.8006 nats"),
    ("keeps 5 words", "keeps 6 words"), ("keeps 5", "keeps 5.0"), ("top_k3", "top_k4"), ("3.1e-05", "3.3e-05"),
    ("3.1e-05", "3.1e-06"), ("12.3%", "12.3"), ("1 2", "1 2 3"), ("a\nb", "a"), ("a", "a\nb"), ("a\nb", "b\na"),
    ("0.5 nan", "0.5 0.5"), ("", "x")])
def test_anything_else_is_a_difference(printed, expected):
    assert differences(printed, expected)


# ---------------------------------------------------------------- the ladder

def test_there_is_a_ladder_and_each_rung_has_its_expected_output():
    assert len(SCRIPTS) >= 10
    assert sorted(path.stem for path in EXPECTED.glob("*.txt")) == [script.stem for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_keeps_the_form(script):
    text = script.read_text("utf-8")
    title, blank, *rest = ast.get_docstring(ast.parse(text)).splitlines()
    assert 10 <= len(title) <= 100 and not blank and 3 <= sum(bool(line.strip()) for line in rest) <= 9
    assert 0 < budget_of(script) <= LONGEST
    assert len(text.splitlines()) <= LINES
    assert max(map(len, text.splitlines())) <= 120
    assert len(re.findall(r"^# %%", text, re.MULTILINE)) >= 2


def long_ones_marked():
    """The scripts; those that train for long are not run again on NumPy."""
    reason = "a script of the ladder that trains for long; tests/test_train_*.py train by its method on NumPy"
    return [pytest.param(script, id=script.stem,
                         marks=[pytest.mark.compiled_only(reason)] if budget_of(script) > ON_NUMPY else [])
            for script in SCRIPTS]


@pytest.mark.parametrize("script", long_ones_marked())
def test_a_script_prints_what_is_expected_and_draws_its_figure(script, tmp_path):
    printed = run(script, tmp_path, budget_of(script))
    assert not differences(printed, expected_of(script).read_text("utf-8"))
    figures = sorted(tmp_path.glob("*.svg"))
    assert figures and all(figure.name.startswith(script.stem[:2]) for figure in figures)
    for figure in figures:
        about = json.loads(figure.with_suffix(".json").read_text("utf-8"))
        assert about["figure"] == figure.name and len(about["caption"]) >= 40
        assert figure.stat().st_size > 1000
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".json"}


# ---------------------------------------------------------------- python tests/test_examples.py --update

def update(chosen):
    """Run the scripts whose names begin so (all of them if none is named); write what they print."""
    EXPECTED.mkdir(exist_ok=True)
    for script in SCRIPTS:
        if chosen and not script.stem.startswith(tuple(chosen)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            printed = run(script, Path(folder), budget_of(script))
        path = expected_of(script)
        known = path.read_text("utf-8") if path.exists() else ""
        write_atomic(path, lambda part, text=printed: part.write_text(text.rstrip() + "\n", "utf-8"))
        print(f"{script.stem}: " + ("; ".join(differences(printed, known)) or "as before"))


if __name__ == "__main__":
    if sys.argv[1:2] != ["--update"]:
        sys.exit("usage: python tests/test_examples.py --update [01 02 ...]; pytest runs the tests")
    update(sys.argv[2:])
