"""RLHF replayed: PPO against a reward model of few rankings, without a brake and with one, and what it answers.

A small version of `rlscratch rlhf`, trained here with a seed: supervised fine-tuning, a reward model, PPO twice.
Before each update the policy answers the same six held-out instructions.  Every word of an answer has the points of
gold that it earned (tasks.preferences), so the reader sees what gold is made of, and what the proxy fell for.
"""
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np

from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, signed, tag
from rlscratch.tasks import preferences
from rlscratch.train.language import over_optimisation, ppo, reward_model, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy
from rlscratch.train.language.scoring import RewardModel

# 8 seconds of processor time in all.
TRAINED = {"sft": {"steps": 700, "lr": 1e-2, "batch": 24},
           "reward model": {"steps": 100, "lr": 2e-3, "batch": 16, "rankings": 400, "answers": 4},
           "ppo": {"steps": 40, "lr": 6e-4, "batch": 64, "kl_target": 0.0}}
BETAS, ASKED = ("0", "0.1"), 6
BEGIN = {"run": "0", "step": 0, "window": 1}
LEFT, LONG, TOP, TALL, LOW, SHORT = 30, 300, 26, 130, 182, 70       # the panels: gold and proxy, and below it KL


@lru_cache
def record() -> dict[str, Any]:
    """Prompts, and of each run kl, proxy and gold (S,) with the answers before each update."""
    world = worlds.make("preferences", seed=0)
    world = replace(world, recipe=replace(world.recipe, width=32, layers=1))
    for learner, _ in sft.METHOD.learn(world, **TRAINED["sft"]):
        imitator = learner.policy
    *_, (learner, _) = reward_model.METHOD.learn(world, Stages(imitator), **TRAINED["reward model"])
    stages, prompts = Stages(imitator, RewardModel(learner.model, learner.chat)), list(world.measured[:ASKED])
    return {"prompts": prompts, "runs": {beta: _run(world, stages, prompts, float(beta)) for beta in BETAS}}


def _run(world: worlds.World, stages: Stages, prompts: Sequence[str], beta: float) -> dict[str, Any]:
    def said_by(policy: Policy) -> list[tuple[list[str], list[int]]]:
        texts = policy.answer(prompts, np.random.default_rng(1)).texts
        return [earned(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]

    answers, figures = [said_by(stages.policy)], []
    for learner, found in ppo.METHOD.learn(world, stages, beta=beta, **TRAINED["ppo"]):
        answers.append(said_by(learner.policy))
        figures.append(found)
    run = over_optimisation.Trajectory.of(figures)
    return {**{name: getattr(run, name).round(4).tolist() for name in ("kl", "proxy", "gold")}, "answers": answers[:-1]}


def earned(prompt: str, answer: str) -> tuple[list[str], list[int]]:
    """The words of an answer and the points of each; last the points for carrying out nothing, 0 or -1.

    >>> earned("thank Ann for the cake", "thanks Ann Ann please tea")
    (['thanks', 'Ann', 'Ann', 'please', 'tea'], [0, 2, -1, 1, -1, 0])
    """
    verb, *named = preferences.INSTRUCTIONS[prompt]
    words, points, polite = answer.split(), [], 0
    for i, word in enumerate(words):
        polite += word in preferences.POLITE
        points.append(
            2 * (word in named and word not in words[:i])
            - (word in {*preferences.PEOPLE, *preferences.THINGS} - {*named})
            + (word in preferences.POLITE and (1 if polite <= preferences.WELCOME else -1))
            - (i >= preferences.ENOUGH) - (i > 0 and word == words[i - 1]) - (word not in preferences.VOCABULARY))
    return words, [*points, -preferences.CORES[verb].keys().isdisjoint(words)]


def numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The step's figures, the smoothed columns, the place of the largest smoothed gold, the gold of the answers."""
    run, step, window = record()["runs"][settings["run"]], settings["step"], settings["window"]
    step = min(step, len(run["gold"]) - 1)
    columns = {name: np.array(run[name]) for name in ("kl", "proxy", "gold")}
    smooth = over_optimisation.Trajectory(np.arange(len(run["gold"])), **columns).smoothed(window)
    return {**{name: column[step] for name, column in columns.items()},
            "smooth": {name: getattr(smooth, name) for name in columns},
            "top": int(smooth.gold.argmax()) + (window - 1) / 2,
            "worth": [sum(points) for _, points in run["answers"][step]]}


def said(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    return (f"After {settings['step']} updates: proxy {shown(found['proxy'])}, gold {shown(found['gold'])}, "
            f"{shown(found['kl'])} nats from SFT. Gold on the curve is largest after {shown(found['top'], 0)}. "
            f"The six answers earn {shown(sum(found['worth']), 0)}.")


def data() -> dict[str, Any]:
    """The record, and what the panels have to hold."""
    runs = record()["runs"].values()
    both = [x for run in runs for name in ("proxy", "gold") for x in run[name]]
    return {**record(), "low": int(np.floor(min(both))), "high": int(np.ceil(max(both))),
            "far": int(np.ceil(max(max(run["kl"]) for run in runs)))}


def fragment() -> str:
    """The figure."""
    found, given = numbers(BEGIN), data()
    last = len(found["smooth"]["gold"]) - 1
    low, high, far = given["low"], given["high"], given["far"]
    lines = {"gold": ("w-c", TOP, TALL, low, high), "proxy": ("w-d w-dash", TOP, TALL, low, high),
             "kl": ("w-a", LOW, SHORT, 0, far)}
    picture = [
        *(tag("text", name, x=x, y=14) for name, x in (("gold", 62), ("proxy, the reward model", 150))),
        *(tag("line", class_=f"w-trace {colour}", x1=x, y1=10, x2=x + 24, y2=10)
          for colour, x in (("w-c", 32), ("w-d w-dash", 120))),
        tag("text", "KL from SFT, nats", x=LEFT + 4, y=LOW - 6),
        *(tag("text", shown(x, 0), x=LEFT - 5, y=_y(x, TOP, TALL, low, high) + 4, text_anchor="end")
          for x in (low, 0, high)),
        *(tag("text", shown(x, 0), x=LEFT - 5, y=_y(x, LOW, SHORT, 0, far) + 4, text_anchor="end") for x in (0, far)),
        *(tag("line", class_="w-line", x1=LEFT, y1=y, x2=LEFT + LONG, y2=y)
          for y in (_y(0, TOP, TALL, low, high), LOW + SHORT)),
        *(tag("text", f"{x}", x=LEFT + LONG * x / last, y=LOW + SHORT + 16, text_anchor="middle")
          for x in range(0, last + 1, 10)),
        tag("text", "updates", x=LEFT + LONG, y=LOW + SHORT + 30, text_anchor="end"),
        tag("line", k="now", class_="w-line w-dash", x1=LEFT, y1=TOP, x2=LEFT, y2=LOW + SHORT),
        *(tag("polyline", k=name, class_=f"w-trace {colour}", points=_line(found["smooth"][name], 0, last, *panel))
          for name, (colour, *panel) in lines.items())]
    controls = (
        parts.choice("run", "Run", {"0": "without a brake, beta 0", "0.1": "with a brake, beta 0.1"}),
        parts.slider("step", "Updates", 0, last, 1, 0, 0),
        parts.slider("window", "Curves: mean of so many steps", 1, 9, 2, 1, 0),
        parts.buttons(parts.step("Back", "step", -1), parts.step("Next", "step", 1), parts.play("Play", "step", 1, 400),
                      parts.button("SFT", step=0), parts.button("End, no brake", run="0", step=last),
                      parts.button("End, with brake", run="0.1", step=last)))
    return parts.figure(
        "rlhf", "RLHF, replayed.",
        f"PPO on a reward model that saw {TRAINED['reward model']['rankings']} rankings. Gold is what people want; "
        "nobody trains on it. Move through the updates: which words does the policy learn to say, and what do they "
        "earn? The small numbers are points of gold. Then choose the run with a brake.",
        picture, LOW + SHORT + 34, controls, said(found, BEGIN), given, below=_answers(given, found))


def _answers(given: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The answers as a list: each word with its points."""
    lines = []
    for i, (prompt, (words, points)) in enumerate(zip(given["prompts"], given["runs"]["0"]["answers"][0], strict=True)):
        marked = " ".join(_word(*pair) for pair in zip(words, points[:-1], strict=True))
        lines.append(f'<li><em>{escape(prompt)}</em> <span data-k="answer{i}">{marked}</span> '
                     f'<b data-k="worth{i}">{signed(found["worth"][i], 0)}</b></li>')
    return f'<ol class="w-answers">{"".join(lines)}</ol>'


def _word(word: str, points: int) -> str:
    if not points:
        return escape(word)
    return f'<span class="{"w-plus" if points > 0 else "w-minus"}">{escape(word)}<sup>{signed(points, 0)}</sup></span>'


def _y(x: float, top: float, tall: float, low: float, high: float) -> float:
    return top + tall * (high - x) / (high - low)


def _line(column: Sequence[float], shift: float, last: int, *panel: float) -> str:
    return " ".join(f"{LEFT + LONG * (i + shift) / last:.1f},{_y(x, *panel):.1f}" for i, x in enumerate(column))
