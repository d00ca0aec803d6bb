"""CONTRIBUTING.md points at what there is, and its Python imports what there is.

Each recipe was followed word for word.  What a later change takes away from under them is noticed here.
"""
import ast
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
NEW = {"rlscratch/tasks/capitals.py", "tests/test_tasks_capitals.py", "rlscratch/train/language/reinforce.py",
       "tests/test_train_reinforce.py"}
FILES = [textwrap.dedent(block) for block in re.findall(r'^   ```python\n(   """.*?)^   ```$', TEXT, re.M | re.S)]
CHANGED = {"rlscratch/train/variants.py": "VARIANTS", "tests/test_train_grpo.py": "TABLE",
           "rlscratch/__main__.py": "TRAIN", "tests/test_fourth_witness.py": "WITNESS",
           "rlscratch/train/language/worlds.py": "RECIPES"}


def test_every_file_that_a_recipe_touches_exists_or_is_new():
    named = set(re.findall(r"\b((?:rlscratch|tests|examples|csrc|docs)/[\w/]+\.(?:py|md|txt))", TEXT))
    assert {path for path in named if not (ROOT / path).exists()} == NEW
    assert set(CHANGED) <= named


def test_the_new_files_import_what_there_is():
    assert len(FILES) == len(NEW)
    for node in (node for file in FILES for node in ast.walk(ast.parse(file)) if isinstance(node, ast.ImportFrom)):
        for alias in node.names:
            if alias.name not in ("capitals", "reinforce"):
                pkgutil.resolve_name(f"{node.module}.{alias.name}")


@pytest.mark.parametrize(("path", "table"), CHANGED.items())
def test_the_tables_that_get_a_row_are_where_the_recipe_says(path, table):
    assert re.search(rf"^{table}\b.* = ", (ROOT / path).read_text("utf-8"), re.M)
    assert f"`{table}`" in TEXT


def test_every_command_is_one_of_ours():
    commands = re.findall(r"^    (\w+) ", TEXT, re.M)
    assert len(commands) >= 10 and set(commands) == {"make", "pytest", "rlscratch"}
