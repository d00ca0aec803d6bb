"""rlscratch notebook: a rung's text and code, cell by cell, and its figures below the cells that draw them."""
import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import rlscratch
from rlscratch.__main__ import main
from rlscratch.cli.notebook import notebook
from rlscratch.report.tour import ladder

RUNGS = ladder.shipped()

# A kernel's part: one namespace for all cells, and after each the open figures are shown and closed.
KERNEL = """
import sys
import nbformat
import matplotlib.pyplot as plt

names, shown = {"__name__": "__main__"}, []
for i, cell in enumerate(nbformat.read(sys.argv[1], as_version=4).cells):
    if cell.cell_type == "code":
        exec(compile(cell.source, f"cell {i}", "exec"), names)
        shown += [i] * len(plt.get_fignums())
        plt.close("all")
print("shown below", shown)
"""


def words(text):
    return " ".join(re.findall(r"\w+", text))


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_a_notebook_has_the_script_s_code_and_all_that_it_says(rung):
    made = notebook(rung)
    code = "\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
    told = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown").replace("\\", "")
    script = ast.parse(rung.source)
    assert ast.dump(ast.parse(code)) == ast.dump(ast.Module(script.body[1:], []))
    assert told.startswith(f"# {rung.name[:2]}. {rung.title}\n\n") and rung.lesson in told
    for line in rung.source.split("\n"):
        if line.startswith("# %%"):
            assert words(line) in words(told)
    assert all(cell.source for cell in made.cells)
    assert notebook(rung) == made


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
def test_its_figures_are_shown_and_saved_and_it_prints_what_the_script_does(tmp_path, capsys):
    assert main(["notebook", "12", "--out", str(tmp_path)]) == 0
    path = tmp_path / "12_grpo_ice_cream.ipynb"
    assert capsys.readouterr().out == f"{path}\n"
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "inline.py").write_text("from matplotlib.backends.backend_agg import *\n")
    where = os.pathsep.join([str(tmp_path), str(Path(rlscratch.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-W", "error", "kernel.py", path.name], cwd=tmp_path, text=True,
                          env=os.environ | {"MPLBACKEND": "module://inline", "PYTHONPATH": where, "RLSCRATCH_OUT": ""},
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    printed, _, shown = done.stdout.rstrip().rpartition("\n")
    drawing = [i for i, cell in enumerate(nbformat.read(path, 4).cells) if "def draw" in cell.source]
    assert drawing and shown == f"shown below {drawing}"
    assert printed.startswith("quantity             document") and "updates: " in printed
    assert done.stderr == f"figure: {Path('out', '12_grpo_training.svg')}\n"
    assert (tmp_path / "out" / "12_grpo_training.svg").stat().st_size > 1000


def test_without_a_number_the_rungs_are_listed(capsys):
    assert main(["notebook"]) == 0
    printed = capsys.readouterr().out
    for rung in RUNGS:
        assert f"{int(rung.name[:2])}  {rung.budget:>7}  {rung.title}\n" in printed


@pytest.mark.parametrize("number", ["0", "99", "-1"])
def test_an_unknown_number_gets_one_line(number, tmp_path, capsys):
    assert main(["notebook", number, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"rlscratch: there is no example {number}")
    assert said.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_notebook_that_may_have_been_changed_is_left_alone(tmp_path, capsys):
    mine = tmp_path / "11_ppo_ice_cream.ipynb"
    mine.write_text("mine")
    assert main(["notebook", "11", "--out", str(tmp_path)]) == 2
    assert "may hold your changes" in capsys.readouterr().err and mine.read_text() == "mine"


def test_where_only_the_package_is_installed_one_line_says_where_the_examples_are(monkeypatch, capsys):
    monkeypatch.setattr(ladder, "folder", lambda: None)
    assert main(["notebook", "11"]) == 2
    assert capsys.readouterr().err == f"rlscratch: {ladder.ABSENT}\n"
