"""--resume needs no other option: what the command line does not say, config.json does.

Each run is stopped at its last save or at its end, and goes on from the newest folder of its name.
"""
import json
from pathlib import Path

import pytest

from rlscratch.__main__ import main
from rlscratch.train.run import Run

pytestmark = [pytest.mark.usefixtures("undrawn", "unsynced"),
              pytest.mark.compiled_only("kernels have no state to save")]

RUNS = {
    "reinforce": ("--task", "pasta", "--seed", "3", "--steps", "4", "--episodes", "8", "--baseline", "none"),
    "grpo": ("--task", "ice-cream", "--seed", "3", "--steps", "4", "--variant", "rloo", "--beta", "0.5"),
    "q-learning": ("--seed", "3", "--episodes", "5", "--alpha", "0.5", "--epsilon", "0.5"),
    "sft": ("--task", "ice-cream-text", "--seed", "3", "--steps", "2", "--batch", "4"),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def result(name):
    return json.loads(Path("runs", name, "result.json").read_text("utf-8"))


def same(found):
    return {key: value for key, value in found.items() if key != "seconds"}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_with_the_settings_that_it_began_with(name):
    assert main(["train", name, *RUNS[name], "--quiet"]) == 0
    before = result(name)
    assert main(["train", name, "--resume", "--quiet"]) == 0
    assert same(result(name)) == same(before)


@pytest.mark.parametrize(("name", "more", "key", "end"), [
    ("reinforce", ("--steps", "6"), "steps", 6), ("q-learning", ("--episodes", "8"), "episodes", 8),
    ("q-learning", ("--steps", "400"), "steps", 400)])
def test_a_run_of_tables_may_go_farther_and_ends_where_one_that_was_not_stopped_does(name, more, key, end):
    assert main(["train", name, *RUNS[name], "--quiet"]) == 0
    assert main(["train", name, "--resume", *more, "--quiet"]) == 0
    assert result(name)[key] == end
    one = [option for option in RUNS[name] if option not in ("--episodes" if name == "q-learning" else "--steps", "4")]
    one = one if name != "q-learning" else ["--seed", "3", "--alpha", "0.5", "--epsilon", "0.5"]
    assert main(["train", name, *one, *more, "--quiet", "--run-dir", "whole"]) == 0
    whole = json.loads(Path("whole", "result.json").read_text("utf-8"))
    assert same(whole) | {"run_dir": ""} == same(result(name)) | {"run_dir": ""}


@pytest.mark.parametrize(("name", "more", "key", "end"), [
    ("reinforce", ("--steps", "8"), "steps", 8), ("q-learning", ("--episodes", "9"), "episodes", 9)])
def test_a_farther_goal_is_remembered_when_the_run_to_it_was_interrupted(name, more, key, end, monkeypatch):
    assert main(["train", name, *RUNS[name], "--quiet"]) == 0

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "progress", interrupted)
        assert main(["train", name, "--resume", *more, "--quiet"]) == 130
    assert main(["train", name, "--resume", "--quiet"]) == 0
    assert result(name)[key] == end
    assert main(["train", name, "--resume", f"--{key}", "1", "--quiet"]) == 0           # a nearer goal moves nothing
    assert json.loads(Path("runs", name, "config.json").read_text("utf-8"))["goal"] == {key: end}


@pytest.mark.parametrize(("name", "more", "says"), [
    ("grpo", ("--seed", "0"), "--seed is 0; expected 3"), ("grpo", ("--beta", "0.1"), "--beta is 0.1; expected 0.5"),
    ("sft", ("--steps", "9"), "--steps is 9; expected 2"), ("reinforce", ("--lr", "1"), "--lr is 1.0; expected 0.2")])
def test_what_is_said_must_agree_even_where_it_is_the_default(name, more, says, capsys):
    assert main(["train", name, *RUNS[name], "--quiet"]) == 0
    capsys.readouterr()
    assert main(["train", name, "--resume", *more, "--quiet"]) == 2
    assert says in capsys.readouterr().err


def test_where_no_run_is_there_is_nothing_to_resume(capsys):
    assert main(["train", "grpo", "--resume"]) == 2
    assert "expected a folder that holds a run; without resume one is started" in capsys.readouterr().err


def test_a_run_on_files_is_resumed_from_anywhere_without_naming_them_again(tmp_path, monkeypatch):
    Path("asked.jsonl").write_text("".join(f'{{"prompt": "{n}+1=", "answer": "{n + 1}"}}\n' for n in range(8)), "utf-8")
    Path("shown.jsonl").write_text(
        "".join(f'{{"prompt": "{n}+1=", "completion": "{n + 1}"}}\n' for n in range(8)), "utf-8")
    Path("mine.py").write_text("def score(prompts, completions, answer, **columns):\n"
                               "    return [float(a == b) for a, b in zip(completions, answer)]\n", "utf-8")
    small = ("--quiet", "--steps", "2", "--batch", "4", "--width", "16", "--layers", "1")
    assert main(["train", "sft", "--demonstrations", "shown.jsonl", *small]) == 0
    assert main(["train", "grpo", "--prompts", "asked.jsonl", "--reward", "mine.py:score", "--init", "runs/sft",
                 "--steps", "2", "--groups", "2", "--group", "2", "--quiet"]) == 0
    found = {name: result(name) for name in ("sft", "grpo")}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, before in found.items():
        folder = tmp_path / "runs" / name
        assert main(["train", name, "--resume", "--run-dir", str(folder), "--quiet"]) == 0
        after = json.loads((folder / "result.json").read_text("utf-8"))
        assert same(after) | {"run_dir": ""} == same(before) | {"run_dir": ""}


def test_a_file_that_has_changed_is_refused(capsys):
    Path("shown.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "b", "completion": "a"}\n', "utf-8")
    more = ("--steps", "1", "--batch", "2", "--width", "16", "--layers", "1", "--quiet")
    assert main(["train", "sft", "--demonstrations", "shown.jsonl", *more]) == 0
    Path("shown.jsonl").write_text('{"prompt": "a", "completion": "a"}\n{"prompt": "b", "completion": "b"}\n', "utf-8")
    capsys.readouterr()
    assert main(["train", "sft", "--resume", "--quiet"]) == 2
    assert "--demonstrations is '70 bytes, SHA-256 " in capsys.readouterr().err
