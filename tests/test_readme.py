"""The README's code runs and prints what the README says; the commands it names exist."""
import contextlib
import io
import re
from pathlib import Path

import pytest

from rlscratch.__main__ import main

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")


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
    targets = (Path(__file__).resolve().parent.parent / "Makefile").read_text("utf-8")
    named = set(re.findall(r"^    make (\w+)", README, re.M))
    assert {"tour", "test"} <= named
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
    assert (Path(__file__).resolve().parent.parent / path).exists()
