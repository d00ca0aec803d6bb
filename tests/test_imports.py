"""The import law: rooms know only the rooms below them.  Read from the source, so nothing hides."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rlscratch"

CORE = {"check"}
TABULAR = {"mdp", "formulas", "tasks", "files"} | CORE
NETWORK = {"transformer", "optim", "autograd", "kernels", "generate", "bpe", "checkpoint"}
LAW = {
    "check": set(),
    "files": set(),
    "kernels": CORE,
    "formulas": {"kernels"} | CORE,
    "autograd": {"kernels"} | CORE,
    "mdp": {"formulas"} | CORE,
    "transformer": {"autograd", "kernels"} | CORE,
    "optim": {"autograd", "kernels"} | CORE,
    "bpe": {"files"} | CORE,
    "generate": {"transformer", "autograd", "formulas", "kernels"} | CORE,
    "tasks": {"mdp", "bpe", "formulas"} | CORE,
    "checkpoint": {"transformer", "optim", "bpe", "files"} | CORE,
    "train": TABULAR | NETWORK,
    "documents": {"formulas", "mdp", "bpe", "tasks", "train"} | CORE,
}
# Rooms that DESIGN names as one file and that grew into several; each obeys the law of its room.
SAME_ROOM = {"chains": "mdp", "search": "mdp", "toy_text": "mdp", "trajectories": "mdp",
             "estimators": "mdp", "sequences": "mdp",
             "characters": "bpe", "pretokens": "bpe", "vocabulary": "bpe",
             "beam": "generate", "processors": "generate", "rollout": "generate"}
LIBRARIES = {
    "check": {"numpy"}, "kernels": {"numpy"}, "formulas": {"numpy"}, "autograd": {"numpy"},
    "mdp": {"numpy", "gymnasium"}, "transformer": {"numpy"}, "optim": {"numpy"}, "tasks": {"numpy"},
    "bpe": {"regex"}, "generate": {"numpy"},
}
STANDARD = __import__("sys").stdlib_module_names


def room_of(module):
    """"rlscratch.formulas.ppo" -> "formulas"; a name that is no module belongs to __init__."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return SAME_ROOM.get(name, name)


def imports_of(path):
    """Dotted names of all modules that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module
            yield from ((f"{base}.{a.name}" if base == "rlscratch" else base) for a in node.names)


def violations(path, room):
    """What this file imports against the law of its room."""
    for name in imports_of(path):
        if name.startswith("rlscratch"):
            target = room_of(name)
            if target not in LAW[room] | {room} and not target.startswith("_"):
                yield f"{path.name} ({room}) imports {name}"
        elif room in LIBRARIES and name.split(".")[0] not in STANDARD | LIBRARIES[room]:
            yield f"{path.name} ({room}) imports {name}"


def files():
    for path in sorted(PACKAGE.rglob("*.py")):
        room = room_of(".".join(["rlscratch", *path.relative_to(PACKAGE).with_suffix("").parts]))
        if room in LAW:
            yield pytest.param(path, room, id=str(path.relative_to(PACKAGE)))


@pytest.mark.parametrize(("path", "room"), list(files()))
def test_imports_go_down_only(path, room):
    assert not list(violations(path, room))


def test_formulas_and_autograd_never_import_each_other():
    assert "autograd" not in LAW["formulas"]
    assert "formulas" not in LAW["autograd"]


def test_of_the_training_loops_the_documents_know_those_of_tables_alone():
    imported = {name for path in (PACKAGE / "documents").glob("*.py") for name in imports_of(path)}
    train = {name for name in imported if name.startswith("rlscratch.train")}
    assert "rlscratch.formulas" in imported and all(name.startswith("rlscratch.train.tabular") for name in train)


def test_the_numpy_twins_import_numpy_alone():
    twins = (PACKAGE / "kernels" / "reference").glob("*.py")
    outside = {name for twin in twins for name in imports_of(twin)} - STANDARD
    assert {name for name in outside if not name.startswith("rlscratch.kernels.reference.")} == {"numpy"}


@pytest.mark.parametrize(("source", "room"), [
    ("from rlscratch.autograd import tensor", "formulas"), ("from rlscratch import mdp", "kernels"),
    ("import rlscratch.train.dqn", "mdp"), ("import torch", "formulas")])
def test_the_law_would_notice(source, room, tmp_path):
    path = tmp_path / "planted.py"
    path.write_text(source, "utf-8")
    assert list(violations(path, room))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_that_outgrows_its_room_is_noticed(path):
    assert len(path.read_text("utf-8").splitlines()) <= 320
