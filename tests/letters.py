"""A task that is planted under the names of real ones, to train tiny models on through the command line.

Letters are asked, letters answered; the reward pays for the letter asked and for length, so that the answers of an
untrained model differ in reward.  The models have 16 channels and learn nothing in the few steps that they get.
"""
import json

import pytest

from rlscratch.__main__ import main
from rlscratch.report import curves
from rlscratch.tasks.task import Task
from rlscratch.train.language import dpo, reward_model, worlds
from rlscratch.train.language.worlds import Recipe

LETTERS = "abcdefgh"
SMALL = {"sft": ("--batch", "8", "--shown", "2"), "ppo": ("--batch", "12", "--beta", "0.3", "--kl-target", "0.01"),
         "grpo": ("--groups", "3", "--group", "4", "--epochs", "2"),
         "expert-iteration": ("--groups", "3", "--group", "4"),
         "dpo": ("--batch", "6", "--rankings", "8", "--answers", "3", "--max-kl", "0"),
         "reward-model": ("--batch", "4", "--rankings", "8", "--answers", "3")}
DRAW = curves.training


def pays(prompt, answer):
    return float(prompt in answer) + len(answer) / 8


def letters(name="addition", reward=pays, kind=Task):
    def teacher(prompt, rng):
        return prompt + "".join(rng.choice(list(LETTERS), size=rng.integers(0, 3)))

    return kind(name, tuple(LETTERS[:6]), reward, lambda prompt, answer: answer == prompt, held_out=tuple(LETTERS[6:]),
                teacher=teacher)


def plant(patch, task, width=16, longest=4, name=None):
    """The task under its own name, or another; the longest answer has `longest` tokens."""
    patch.setitem(worlds.RECIPES, name or task.name, Recipe(lambda: task, "characters", width, 1, longest))


def hasten(patch):
    """Measurements that take no time; no drawing, no waiting for the disk."""
    patch.setattr(reward_model, "HELD_OUT", 12)
    patch.setattr(dpo, "SEEN", 12)
    patch.setattr(dpo, "LOOK", 2)
    patch.setattr(curves, "training", lambda folder: folder / "training_curves.svg")
    patch.setattr("os.fsync", lambda _: None)


def begin(folder):
    """A fine-tuned policy to begin with."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, letters())
        hasten(patch)
        assert run("sft", folder, "--steps", "3") == 0
    return folder


def run(name, folder, *more, task="addition", quiet=("--quiet",)):
    """The status of rlscratch train NAME with few data."""
    return main(["train", name, "--task", task, "--run-dir", str(folder), *SMALL[name], *quiet, *map(str, more)])


def metrics(folder):
    """The lines but for what the clock says."""
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{key: value for key, value in point.items() if key not in ("seconds", "tokens_per_second")}
            for point in points]


def result(folder):
    return json.loads((folder / "result.json").read_text("utf-8"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
