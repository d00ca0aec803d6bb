"""Every script of the ladder runs, keeps the house's form, and prints what examples/expected/ says.

What a script prints is compared line by line.  Words must be equal; runs of spaces or of dashes count
as one, since a column may grow by a digit.  A number with decimals may be off by one unit of its last
printed digit, which is what rounding may do on another processor; a whole number may not, since it
counts something.  Where training decides a number, other rounding leads to another run: there the
expected file has an interval, such as [0.93 to 1.00], and the number must lie in it.  No script prints one.

    python tests/test_examples.py --update [01 02 ...]

runs the scripts, or those named, and writes what they print as expected: read the difference first.  A
line whose intervals hold is left as it is.
"""
import ast
import html
import importlib
import json
import re
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from rlscratch.files import write_atomic
from scripts import run

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
EXPECTED = EXAMPLES / "expected"
SCRIPTS = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
LONGEST, LINES, COLUMNS = 60, 120, 100              # seconds of a budget, lines of a lesson, columns
GUARD = 10                                          # budgets after which a script counts as hanging
ON_NUMPY = 6                                        # seconds of a budget; longer scripts run on the compiled core alone

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])", re.ASCII)
INTERVAL = re.compile(rf"\[({NUMBER.pattern}) to ({NUMBER.pattern})\]", re.ASCII)
FIGURE = re.compile(f"{INTERVAL.pattern}|{NUMBER.pattern}", re.ASCII)       # groups 1 and 2: the bounds, if it has


def budget_of(script):
    """The constant BUDGET, in seconds."""
    for node in ast.parse(script.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", None) for t in node.targets] == ["BUDGET"]:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{script.name} declares no BUDGET")


def patience(script):
    """Seconds after which it counts as hanging."""
    return max(60, GUARD * budget_of(script))


def cells_of(text):
    """What stands between one "# %%" and the next."""
    return ["# %%" + cell.rstrip() for cell in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]]


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
    return words(a) == words(b) and all(same_figure(x, y) for x, y in pairs(a, b))


def words(line):
    """The line without its numbers and without the width of its columns."""
    return re.sub(r"-{2,}", "--", re.sub(r" +", " ", FIGURE.sub("#", line))).strip()


def pairs(printed, expected):
    """Each number printed, and the match of FIGURE that is expected in its place."""
    return zip((match[0] for match in FIGURE.finditer(printed)), FIGURE.finditer(expected), strict=True)


def same_figure(printed, expected):
    """Whether a number lies in the interval that is expected, both bounds with its digits; else is that number."""
    low, high = expected[1], expected[2]
    if INTERVAL.fullmatch(printed):
        return False
    if low is None:
        return same_number(printed, expected[0])
    digits = {Decimal(x).as_tuple().exponent for x in (printed, low, high)}
    return len(digits) == 1 and Decimal(low) <= Decimal(printed) <= Decimal(high)


def same_number(a, b):
    a, b = Decimal(a), Decimal(b)
    place = b.as_tuple().exponent
    if place >= 0 and a.as_tuple().exponent >= 0:
        return a == b
    return a.as_tuple().exponent == place and abs(a - b) <= Decimal(1).scaleb(place)


@pytest.mark.parametrize(("printed", "expected"), [
    ("A = 0.8006", "A = 0.8006"), ("A = 0.8006", "A = 0.8007"), ("A = 0.8006", "A = 0.8005"),
    ("cream    9.99  x", "cream   10.00  x"), ("----  -----", "-----  ------"), ("-0.00", "0.00"), ("-0.01", "0.00"),
    ("12.3% of 7", "12.4% of 7"), ("3.1e-05", "3.2e-05"), ("[0.1, 2.5]", "[0.2, 2.4]"), ("x", "x  \n\n"),
    ("SFT  0.93", "SFT  [0.93 to 1.00]"), ("1.00  -0.5", "[0.93 to 1.00]  [-1.0 to 0.2]"),
    ("12 of 100", "[9 to 15] of 100")])
def test_rounding_and_widths_are_forgiven(printed, expected):
    assert not differences(printed, expected)


@pytest.mark.parametrize(("printed", "expected"), [
    ("A = 0.8006", "A = 0.8008"), ("A = 0.8006", "A = 0.8004"), ("A = 0.8006", "A = -0.8006"),
    ("A = 0.8006", "A = 0.801"), ("A = 0.8006", "B = 0.8006"), ("A = 0.8006", "A = 0.8006 nats"),
    ("keeps 5 words", "keeps 6 words"), ("keeps 5", "keeps 5.0"), ("top_k3", "top_k4"), ("3.1e-05", "3.3e-05"),
    ("3.1e-05", "3.1e-06"), ("12.3%", "12.3"), ("1 2", "1 2 3"), ("a\nb", "a"), ("a", "a\nb"), ("a\nb", "b\na"),
    ("0.5 nan", "0.5 0.5"), ("", "x"), ("0.92", "[0.93 to 1.00]"), ("1.01", "[0.93 to 1.00]"),
    ("0.95", "[0.9 to 1.0]"), ("0.9", "[0.93 to 1.00]"), ("[0.93 to 1.00]", "[0.93 to 1.00]"), ("x", "[0.93 to 1.00]"),
    ("[0.93 to 1.00]", "0.95"), ("0.95 0.95", "[0.93 to 1.00]"), ("16 of 100", "[9 to 15] of 100"),
    ("nan", "[0 to 1]")])
def test_anything_else_is_a_difference(printed, expected):
    assert differences(printed, expected)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_expected_interval_says_how_large_a_number_is(script):
    """Its ends have one sign and differ by less than a factor of twenty, or it is narrow."""
    for match in INTERVAL.finditer(expected_of(script).read_text("utf-8")):
        low, high = map(Decimal, match.groups())
        narrow = Decimal("0.5") if "." in match[0] else 10
        assert low < high
        assert high - low <= narrow or (low * high > 0 and max(low / high, high / low) < 20), match[0]


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
    assert max(map(len, text.splitlines())) <= COLUMNS
    *cells, last, to_try = cells_of(text)
    lesson = [cell for cell in cells if "\ndef draw" not in cell]
    assert len(lesson) >= 2 and sum(len(cell.splitlines()) for cell in lesson) <= LINES
    assert re.search(r"\ndef (draw\w*)\(\)(.|\n)*\n\1\(\)$", last)           # the figure, drawn by a helper
    assert to_try.startswith("# %% Try it.  ") and "\n# What came out: " in to_try
    assert 2 <= len(to_try.splitlines()) <= 5 and all(line.startswith("# ") for line in to_try.splitlines())


AGREE = ("draw", "log_softmax", "softmax")           # kernels whose twins agree, draw's bit for bit
OTHERS = {"01", "29", "30"}                         # of the short ones, those that call other kernels


def with_kernels():
    """The scripts, each with the kernels that it may call, None for any.

    Those that train for long are not run again on NumPy, and those that call kernels alone whose twins agree.
    """
    long = "a script of the ladder that trains for long; tests/test_train_*.py train by its method on NumPy"
    short = "a script of the ladder that calls draw and softmax alone, if any: their twins agree"
    for script in SCRIPTS:
        if budget_of(script) > ON_NUMPY:
            yield pytest.param(script, None, id=script.stem, marks=pytest.mark.compiled_only(long))
        elif script.stem[:2] in OTHERS:
            yield pytest.param(script, None, id=script.stem)
        else:
            yield pytest.param(script, AGREE, id=script.stem, marks=pytest.mark.compiled_only(short))


@pytest.mark.parametrize(("script", "only"), [*with_kernels()])
def test_a_script_prints_what_is_expected_and_draws_its_figure(script, only, tmp_path):
    printed = run(script, tmp_path, patience(script), only)
    assert not differences(printed, expected_of(script).read_text("utf-8"))
    figures = sorted(tmp_path.glob("*.svg"))
    assert figures and all(figure.name.startswith(script.stem[:2]) for figure in figures)
    for figure in figures:
        about = json.loads(figure.with_suffix(".json").read_text("utf-8"))
        assert about["figure"] == figure.name and len(about["caption"]) >= 40
        assert figure.stat().st_size > 1000
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".json"}


@pytest.mark.compiled_only("is about scripts that are not run on NumPy")
def test_a_script_that_calls_another_kernel_than_it_may_is_noticed(tmp_path):
    (script,) = (script for script in SCRIPTS if script.stem.startswith("29"))
    with pytest.raises(AssertionError, match="the kernel attention was called; expected one of"):
        run(script, tmp_path, patience(script), AGREE)


# ---------------------------------------------------------------- what is printed was measured

# Each script that trains, with settings that train less or otherwise: (in the source, put in its place).
CHANGED = {
    "05": [("20_001", "5_001"), ("ALPHA * (target", "0.5 * (target")],
    "09": [("STEP, STEPS = 10.0, 1500", "STEP, STEPS = 10.0, 150")],
    "11": [("PASSES, STEP, VALUE_STEP = 64, 4, 0.05", "PASSES, STEP, VALUE_STEP = 64, 4, 0.1")],
    "12": [("GROUP, PASSES, STEP, BETA = 8", "GROUP, PASSES, STEP, BETA = 4")],
    "13": [("PANEL, 5000, 2.0", "PANEL, 50, 2.0")],
    "21": [("range(500)", "range(1)"), ("lake, 25)", "lake, 2)"), ("slippery, 60)", "slippery, 2)"),
           ("ice, 60)", "ice, 1)")],
    "22": [("EPISODES, ALPHA = 1024", "EPISODES, ALPHA = 64")],
    "23": [("EPISODES, STEP, VALUE_STEP = 256, 50.0", "EPISODES, STEP, VALUE_STEP = 256, 5.0"),
           ('"frozen-lake": 14, "frozen-lake-slippery": 24', '"frozen-lake": 1, "frozen-lake-slippery": 1')],
    "25": [("steps=300", "steps=5"), ("steps=60", "steps=2")],
    "27": [("epsilon, 1000, 200", "epsilon, 50, 200"), ("6000, 40", "50, 40"), ("policy, 2000", "policy, 200")],
    "28": [("np.zeros((200", "np.zeros((20")],
    "30": [("lr=0.5", "lr=0.1")],
    "33": [("STEPS, MARKS, PEAK, BATCH, CONTEXT = 330", "STEPS, MARKS, PEAK, BATCH, CONTEXT = 10"),
           ("text.reference()", "text.reference()[:60_000]")],
    "34": [("lr=0, weight_decay=0), 160", "lr=0, weight_decay=0), 20")],
    "35": [("seed, 5000, 200", "seed, 600, 200"), ("greedy_path(q)", "greedy_path(best_q)"),
           ("ice, 0, 16_000", "ice, 0, 1000")],
    "36": [("spelling.words(8000", "spelling.words(400"), ("range(101)", "range(3)"),
           ("steps=750", "steps=5"), ("steps=30", "steps=10"), ("groups=32", "groups=2"), ("group=12", "group=2"),
           ("asked[:1000]", "asked[:20]")],
    "37": [("spelling.words(8000", "spelling.words(200"), ("steps=650", "steps=5"), ("held_out[:200]", "held_out[:20]"),
           ("GROUP = 18, 160", "GROUP = 5, 32")],
    "38": [("measured[:240]", "measured[:20]"), ("steps=400", "steps=5"), ("steps=280", "steps=5"),
           ("steps=28", "steps=5"), ("rankings=1000", "rankings=20"), ("rankings=300", "rankings=20"),
           ("batch=80", "batch=8")],
    "39": [("measured[:300]", "measured[:20]"), ("steps=500", "steps=5"), ("steps=250", "steps=5"),
           ("steps=60", "steps=9"), ("rankings=800", "rankings=20"), ("batch=96", "batch=8")],
    "40": [("STEPS, EVERY, SEEDS = 12, 48, 16", "STEPS, EVERY, SEEDS = 12, 6, 6"), ("range(200)", "range(5)"),
           ("[begun] * 128", "[begun] * 16")],
    "41": [("TOKENS, SETTINGS = 5_000", "TOKENS, SETTINGS = 500"), ("range(300)", "range(3)")],
    "42": [("range(300)", "range(3)")],
    "43": [("BATCHES, LINES, STEP = 100", "BATCHES, LINES, STEP = 10")],
    "44": [("MOVES, q = 3000", "MOVES, q = 1650")],
    "46": [("Settings(lr=3e-3, epochs=6", "Settings(lr=3e-3, steps=8, epochs=1"),
           ("EPISODES = 45, 100", "EPISODES = 45, 3")],
    "47": [("epochs=epochs, target_kl", "epochs=epochs, episodes=4, target_kl"), ("range(8)", "range(2)")],
    "48": [("20_000", "500")],
    "49": [("STEPS, BATCH, CONTEXT = 300", "STEPS, BATCH, CONTEXT = 20"), ("held_out(town, 40)", "held_out(town, 4)"),
           ('in ("raw", "curated")', 'in ("raw",)')],
    "50": [("STEPS, BATCH, CONTEXT = 380", "STEPS, BATCH, CONTEXT = 20"), ("steps=170", "steps=5"),
           ("apart * 20", "apart * 2")],
    "51": [("people=10", "people=3"), ("CONTEXT = 340, 7", "CONTEXT = 200, 4"), ("LONGEST), 220", "LONGEST), 125"),
           ("batch=12", "batch=6"), ("invents, 130", "invents, 2"), (', ("after", cured))', ",)"),
           ("[:80]", "[:4]"), ("[:60]", "[:4]")],
    "52": [('{"equal": (1, 1, 1), "helpful": (1, 0, 0), "harmless": (0, 0, 1)}', "{}"),
           ("STEPS, BATCH, CONTEXT = 400", "STEPS, BATCH, CONTEXT = 20"), ("steps=350", "steps=9"),
           ("axes['equal']", "axes['before']")],
    "53": [("PULL = 0.02", "PULL = 0.2")],
    "54": [("STEPS, RATE, PARTS = 500", "STEPS, RATE, PARTS = 10"), ("sweeps=400", "sweeps=40")],
}


def with_other_settings(script):
    """The script's text, but for the cells that only draw."""
    cells = re.split(r"^(?=# %%)", script.read_text("utf-8"), flags=re.MULTILINE)
    text = "".join(cell for cell in cells if "\ndef draw" not in cell)
    for setting, other in CHANGED[script.stem[:2]]:
        assert setting in text
        text = text.replace(setting, other)
    return text


@pytest.mark.compiled_only("what a script prints is measured, whichever backend prints it")
@pytest.mark.parametrize("number", CHANGED)
def test_other_settings_lead_to_other_figures(number, tmp_path):
    (script,) = (script for script in SCRIPTS if script.stem.startswith(number))
    changed = tmp_path / script.name
    changed.write_text(with_other_settings(script), "utf-8")
    printed = run(changed, tmp_path, patience(script)).splitlines()
    expected = expected_of(script).read_text("utf-8").splitlines()
    of_training = [line for line in expected if INTERVAL.search(line)] or expected
    assert any(words(ours) == words(line) and not same_line(ours, line)
               for ours, line in zip(printed, expected, strict=False) if line in of_training)


# ---------------------------------------------------------------- examples/README.md

ROW = re.compile(r"^\| \[(\d\d)\]\((\S+)\) \| (.+) \| (.+) \| `(\S+)` \| `(\S+)` \| (\S+), (\S+) \|$", re.MULTILINE)
README = (EXAMPLES / "README.md").read_text("utf-8")


def test_the_readme_has_a_row_for_each_script_and_a_word_for_each_number_that_is_missing():
    rows = ROW.findall(README)
    assert sorted((number, name) for number, name, *_ in rows) == [(s.stem[:2], s.name) for s in SCRIPTS]
    assert README.count("\n| [") == len(rows)
    numbers = [int(number) for number, *_ in rows]
    free = [int(number) for said in re.findall(r"[\d,and \n]+ are free", README) for number in re.findall(r"\d+", said)]
    assert sorted(numbers + free) == list(range(1, max(numbers) + 1))


@pytest.mark.parametrize("row", ROW.findall(README), ids=lambda row: row[0])
def test_a_row_of_the_readme_says_what_the_script_does(row):
    _, name, question, cited, formula, test, budget, measured = row
    script = EXAMPLES / name
    title, *lesson = ast.get_docstring(ast.parse(script.read_text("utf-8"))).splitlines()
    assert html.unescape(question) == title
    for document in re.findall(r"\b00\d\b", cited):
        assert document in "\n".join(lesson)
    assert float(budget) == budget_of(script) and 0 < float(measured) <= GUARD * float(budget)
    module, _, attribute = formula.rpartition(".")
    assert callable(getattr(importlib.import_module(f"rlscratch.{module}"), attribute))
    assert (Path(__file__).parent / f"test_{test}.py").exists()


# ---------------------------------------------------------------- python tests/test_examples.py --update

def update(chosen):
    """Run the scripts whose names begin so (all of them if none is named); write what they print."""
    EXPECTED.mkdir(exist_ok=True)
    for script in SCRIPTS:
        if chosen and not script.stem.startswith(tuple(chosen)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            printed = run(script, Path(folder), patience(script))
        path = expected_of(script)
        known = path.read_text("utf-8") if path.exists() else ""
        lines, before = printed.rstrip().splitlines(), known.splitlines()
        if len(lines) == len(before):
            lines = [old if same_line(new, old) else new for new, old in zip(lines, before, strict=True)]
        text = "\n".join(lines) + "\n"
        write_atomic(path, lambda part, text=text: part.write_text(text, "utf-8"))
        print(f"{script.stem}: " + ("; ".join(differences(printed, known)) or "as before"))


if __name__ == "__main__":
    if sys.argv[1:2] != ["--update"]:
        sys.exit("usage: python tests/test_examples.py --update [01 02 ...]; pytest runs the tests")
    update(sys.argv[2:])
