"""The README's code runs and prints what the README says; the commands it names exist."""
import contextlib
import io
import re
from pathlib import Path

import pytest

from letters import hasten
from rlscratch import formulas
from rlscratch.__main__ import main
from rlscratch.cli import rank
from rlscratch.documents import DOCUMENTS
from rlscratch.train.language import reward_model, sft
from test_train_command import shortened

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


@pytest.mark.compiled_only("files are read in Python; each method is trained on NumPy, too, in its own test")
def test_what_a_user_brings_is_trained_on_in_the_order_in_which_it_is_shown(tmp_path, monkeypatch):
    section, = re.findall(r"^## Bring your own$(.*?)^## ", README, re.M | re.S)
    commands, name = [], None
    for part in section.split("\n\n"):
        block = "\n".join(line[4:] for line in part.splitlines()) if part.startswith("    ") else ""
        name = (re.findall(r"`(\w+\.jsonl)`", part) or [name])[0] if not block else name
        if block.startswith(("{", "def ")):
            (tmp_path / (name if block[0] == "{" else "mine.py")).write_text(block + "\n", "utf-8")
        commands += re.findall(r"^rlscratch (.* --.*\.jsonl.*?)(?:  .*)?$", block, re.M)
    assert {command.split()[1] for command in commands} >= {"sft", "grpo", "dpo", "ppo", "--prompts", "reward-model"}
    monkeypatch.chdir(tmp_path)
    hasten(monkeypatch)
    monkeypatch.setattr(rank, "Server", Ranked)
    for module in (sft, reward_model):                  # as stages of PPO
        monkeypatch.setattr(module, "METHOD", shortened(module.METHOD, 1))
    for command in commands:
        train = command.startswith("train")
        assert main([*command.split(), "--quiet", *(["--steps", "1"] if train else [])]) == (0 if train else 130)


class Ranked(contextlib.nullcontext):
    """A server whose only guest ranks everything, as shown, before Ctrl-C."""

    address = "nowhere"

    def __init__(self, judgements, *_):
        super().__init__(self)
        self.judgements = judgements

    def serve_forever(self):
        for number, question in enumerate(self.judgements.asked):
            self.judgements.add("Ann", number, [*range(1, 1 + len(question.completions))])
        raise KeyboardInterrupt


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
