"""The import law: rooms know only the rooms below them.  Read from the source, so nothing hides."""
import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rlscratch"

# The table of docs/architecture.md, row by row.  "train.tabular" is that folder and nothing beside it.
LAW = {
    "check": set(),
    "files": set(),
    "memory": set(),
    "kernels": {"check"},
    "formulas": {"kernels", "check"},
    "autograd": {"kernels", "check"},
    "mdp": {"formulas", "check"},
    "expectations": {"mdp", "formulas", "check"},
    "blocks": {"autograd", "kernels", "check"},
    "transformer": {"blocks", "autograd", "kernels", "check"},
    "optim": {"autograd", "kernels", "check"},
    "bpe": {"check", "files"},
    "generate": {"transformer", "autograd", "formulas", "kernels", "check"},
    "tasks": {"mdp", "bpe", "formulas", "check"},
    "checkpoint": {"transformer", "blocks", "optim", "bpe", "files", "check"},
    "conformance": {"formulas", "expectations", "files", "check"},
    "documents": {"formulas", "mdp", "expectations", "bpe", "tasks", "train.tabular", "check"},
}
LAW["train"] = LAW.keys() - {"conformance", "documents"}
ABOVE = {"__init__", "__main__", "cli", "report"}       # may import everything
LIBRARIES = {
    "check": {"numpy"}, "kernels": {"numpy"}, "formulas": {"numpy"}, "autograd": {"numpy"},
    "mdp": {"numpy", "gymnasium"}, "expectations": {"numpy"}, "blocks": {"numpy"}, "transformer": {"numpy"},
    "optim": {"numpy"}, "tasks": {"numpy"}, "bpe": {"regex"}, "generate": {"numpy"},
}
STANDARD = __import__("sys").stdlib_module_names


def room_of(path):
    """The folder or file below rlscratch: formulas/ppo.py -> "formulas"."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path):
    """Dotted names of all modules that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module
            yield from ((f"{base}.{a.name}" if base == "rlscratch" else base) for a in node.names)


def within(module, rooms):
    return any(f"{module}.".startswith(f"rlscratch.{room}.") for room in rooms)


def violations(path, room):
    """What this file imports against the law of its room."""
    for name in imports_of(path):
        if name.startswith("rlscratch"):
            if not within(name, LAW[room] | {room, "__version__"}):
                yield f"{path.name} ({room}) imports {name}"
        elif room in LIBRARIES and name.split(".")[0] not in STANDARD | LIBRARIES[room]:
            yield f"{path.name} ({room}) imports {name}"


def files():
    for path in sorted(PACKAGE.rglob("*.py")):
        if room_of(path) not in ABOVE:
            yield pytest.param(path, room_of(path), id=str(path.relative_to(PACKAGE)))


@pytest.mark.parametrize(("path", "room"), list(files()))
def test_imports_go_down_only(path, room):
    assert not list(violations(path, room))


def test_formulas_and_autograd_never_import_each_other():
    assert "autograd" not in LAW["formulas"]
    assert "formulas" not in LAW["autograd"]


def test_the_numpy_twins_import_numpy_alone():
    twins = (PACKAGE / "kernels" / "reference").glob("*.py")
    outside = {name for twin in twins for name in imports_of(twin) if name.split(".")[0] not in STANDARD}
    assert {name for name in outside if not name.startswith("rlscratch.kernels.reference.")} == {"numpy"}


@pytest.mark.parametrize(("source", "room"), [
    ("from rlscratch.autograd import tensor", "formulas"), ("from rlscratch import mdp", "kernels"),
    ("import rlscratch.train.dqn.deep_q_learning", "mdp"), ("from rlscratch.train.run import Run", "documents"),
    ("from rlscratch.train import dqn", "documents"), ("import rlscratch", "train"), ("import torch", "formulas")])
def test_the_law_would_notice(source, room, tmp_path):
    path = tmp_path / "planted.py"
    path.write_text(source, "utf-8")
    assert list(violations(path, room))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_that_outgrows_its_room_is_noticed(path):
    assert lines_of_code(path) <= 250


def lines_of_code(path):
    """Lines of a file but for docstrings, comments and blank ones."""
    text = path.read_text("utf-8")
    documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
    docs = sum(node.body[0].end_lineno - node.body[0].lineno + 1 for node in ast.walk(ast.parse(text))
               if isinstance(node, documented) and ast.get_docstring(node) is not None)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines()) - docs


# What a formula is made of.  Logarithms and roots are left out: they turn probabilities into log-probabilities, and
# variances into standard errors.
FORMULA = {"exp", "expm1", "log1p", "logaddexp", "std", "var", "clip", "comb", "power"}


def formulas_in(source):
    """Lines that compute with one of these, as a function or a method."""
    return [node.lineno for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FORMULA]


@pytest.mark.parametrize("path", sorted((PACKAGE / "train").rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_formula_is_written_in_train(path):
    assert not formulas_in(path.read_text("utf-8"))


@pytest.mark.parametrize("planted", ["np.exp(logp - logp_old)", "(r - r.mean()) / r.std()", "np.clip(rho, 0.8, 1.2)",
                                     "math.comb(N - c, k)"])
def test_a_formula_written_in_train_would_be_noticed(planted):
    assert formulas_in(planted) == [1]
