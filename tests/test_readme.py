"""The README's code runs and prints what the README says; the commands it names exist."""
import contextlib
import io
import re
from pathlib import Path

import pytest

from rlscratch import formulas
from rlscratch.__main__ import main
from rlscratch.documents import DOCUMENTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_first_screen_computes_what_it_shows():
    code, = re.findall(r"```python\n(.*?)```", README, re.S)
    shown, = re.findall(r"```text\n(.*?)```", README, re.S)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    *same, gradients = printed.getvalue().splitlines()
    *expected, shown_gradients = shown.splitlines()
    assert same == expected
    by_hand, by_difference = map(float, gradients.split())
    assert gradients.split()[0][:15] == shown_gradients.split()[0][:15]
    assert by_difference == pytest.approx(by_hand, rel=1e-8)


def test_every_make_target_named_here_is_in_the_makefile():
    targets = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"^    make (\w+)", README, re.M))
    assert {"tour", "test", "verify"} <= named
    assert all(re.search(rf"^{name}:", targets, re.M) for name in named)


@pytest.mark.parametrize("line", re.findall(r"^    python -m rlscratch (.*?)(?:  .*)?$", README, re.M))
def test_every_command_named_here_has_help(line, capsys):
    words = line.split()
    command = words[:2] if words[0] == "train" else words[:1]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "example: rlscratch" in capsys.readouterr().out


@pytest.mark.parametrize("path", re.findall(r"`((?:rlscratch|csrc|examples|tests)/[\w./]*)`", README))
def test_every_path_named_here_exists(path):
    assert (ROOT / path).exists()


def test_the_rooms_named_here_are_those_that_there_are():
    table, = re.findall(r"^## Rooms, in reading order$(.*?)^## ", README, re.M | re.S)
    rooms = re.findall(r"`rlscratch/(\w+(?:/|\.py))`", table)
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "rlscratch").iterdir()
             if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(rooms) == len(set(rooms))
    assert set(rooms) == there


def test_the_modules_of_formulas_named_here_are_those_that_there_are():
    listed, = re.findall(r"^Within `formulas/`: (.*?)\.", README, re.M | re.S)
    assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(formulas.__all__)


def test_the_documents_have_their_titles():
    assert dict(re.findall(r"^\| (\d{3}) \| (.*) \|$", README, re.M)) == DOCUMENTS


def test_the_example_that_is_named_first_exists():
    assert all((ROOT / path).exists() for path in re.findall(r"examples/\w+\.py", README))
