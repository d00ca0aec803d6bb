"""A GRPO group: rewards on sliders, what each answer's advantage becomes, and how hard its log-probability is pushed.

An answer weighs 1/G, so the push, minus the gradient of grpo_loss, is A/G.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlscratch.formulas.grpo import group_advantage, grpo_grad
from rlscratch.formulas.policy_gradient import leave_one_out_advantage
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, signed, tag

MOST = 8
KINDS = {"1": "(r − mean) / std, n − 1", "0": "(r − mean) / std, n", "center": "r − mean (Dr. GRPO)",
         "others": "r − mean of the others (RLOO)"}
ICE_CREAM = (10.0, 5.0, -10.0)                              # document 002: cream, hockey, donkey
BEGIN = {"kind": "1", "G": 3, **{f"r{i}": r for i, r in enumerate(ICE_CREAM)}, **{f"r{i}": 0.0 for i in range(3, MOST)}}
ROW, TOP, FIRST, SECOND, LONG = 26, 24, 72, 186, 46         # line, first line, the two zeros, the longest bar


def numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """mean and std of the rewards, advantages (G,), pushes (G,)."""
    G, kind = settings["G"], settings["kind"]
    rewards = np.array([settings[f"r{i}"] for i in range(G)])
    if kind == "others":
        advantage = leave_one_out_advantage(rewards)
    else:
        advantage = group_advantage(rewards, ddof=int(kind != "0"), center_only=kind == "center")
    push = -grpo_grad(np.full((G, 1), -1.0), advantage[:, None], np.full((G, 1), 1 / G))[:, 0]
    return {"mean": rewards.mean(), "std": rewards.std(ddof=int(kind != "0")), "advantages": advantage, "pushes": push}


def said(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    group = f"Mean {shown(found['mean'])}, standard deviation {shown(found['std'])}. "
    if not np.any(found["advantages"]):
        return group + "The group is flat: nobody is better than another, and nothing is learned."
    best, worst = int(np.argmax(found["advantages"])), int(np.argmin(found["advantages"]))
    return (f"{group}Answer {best + 1} is pushed up by {shown(found['pushes'][best], 3)}, answer {worst + 1} down by "
            f"{shown(-found['pushes'][worst], 3)}.")


def fragment() -> str:
    """The figure."""
    found = numbers(BEGIN)
    widest = np.abs(found["advantages"]).max()
    picture = [tag("text", "reward", x=FIRST, y=12, text_anchor="middle"),
               tag("text", "advantage", x=SECOND, y=12, text_anchor="middle"),
               *(tag("text", name, x=x, y=12, text_anchor="end") for name, x in (("A", 282), ("push", parts.WIDTH)))]
    for i in range(MOST):
        off, y = i >= BEGIN["G"], TOP + ROW * i
        reward, advantage, push = (0.0,) * 3 if off else (BEGIN[f"r{i}"], found["advantages"][i], found["pushes"][i])
        long, far = LONG * reward / 10, LONG * advantage / widest
        picture += [
            tag("text", f"{i + 1}", k=f"name{i}", x=0, y=y + 15, off=off),
            *(tag("rect", k=f"{key}{i}", class_=colour, x=zero + min(to, 0), y=y + 3, width=abs(to), height=15, off=off)
              for key, colour, zero, to in (("reward", "w-b", FIRST, long), ("bar", "w-a", SECOND, far))),
            tag("text", signed(advantage), k=f"a{i}", x=282, y=y + 15, text_anchor="end", off=off),
            tag("text", signed(push, 3), k=f"push{i}", x=parts.WIDTH, y=y + 15, text_anchor="end", off=off)]
    mean = FIRST + LONG * found["mean"] / 10
    picture += [tag("line", class_="w-line", x1=x, y1=TOP, x2=x, y2=TOP + ROW * MOST) for x in (FIRST, SECOND)]
    picture.append(tag("line", k="mean", class_="w-line w-dash", x1=mean, y1=TOP - 4, x2=mean, y2=TOP + ROW * MOST))
    controls = (
        parts.choice("kind", "Advantage", KINDS),
        parts.slider("G", "G, answers in the group", 2, MOST, 1, BEGIN["G"], 0),
        *(parts.slider(f"r{i}", f"Reward of answer {i + 1}", -10, 10, 0.5, BEGIN[f"r{i}"], 1) for i in range(MOST)),
        parts.buttons(parts.button("cream, hockey, donkey", **BEGIN), parts.button("Flat", **_rewards(5, 5, 5)),
                      parts.button("One right of 8", **_rewards(1, *[0] * 7)),
                      parts.button("Seven right of 8", **_rewards(0, *[1] * 7))))
    return parts.figure(
        "group", "A GRPO group.",
        "Left: the rewards; dashed: their mean. Right: the advantages A, and the push A/G on the log-probability of "
        "each answer. Move one reward, and watch how the advantages of the others change. Make all rewards equal. "
        "Compare one right answer of 8 with seven right ones.",
        picture, TOP + ROW * MOST, controls, said(found, BEGIN), {})


def _rewards(*rewards: float) -> dict[str, float]:
    """The settings of a group with these."""
    return {"G": len(rewards), **{f"r{i}": reward for i, reward in enumerate(rewards)}}
