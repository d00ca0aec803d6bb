"""The policy triangle: three words, a policy as a point, sampled gradients as arrows, and what a baseline does to them.

The score of word a in logits is e_a - p: the arrow from the point p to corner a.  So a sampled gradient
(R - b) (e_a - p) lies in the plane of the triangle and is drawn there as it is, only shorter.  Dots are means of N
samples.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlscratch import kernels
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad
from rlscratch.formulas.policy_gradient import log_derivative_estimate, score
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, tag

WORDS, REWARDS = ("cream", "hockey", "donkey"), (10.0, 5.0, -10.0)
DOTS = 60
BEGIN = {"cream": 0.34, "hockey": 0.5, "baseline": 0.0, "follows": False, "N": 8, "seed": 1}
CORNERS = ((170.0, 24.0), (20.0, 284.0), (320.0, 284.0))
SCALE = 0.05                                                # of a gradient


def data() -> dict[str, Any]:
    """Rewards, and where the corners are."""
    return {"rewards": REWARDS, "corners": CORNERS, "scale": SCALE}


def policy_of(settings: Mapping[str, Any]) -> np.ndarray:
    """(3,): the first word's probability, and how the others share the rest."""
    first, share = settings["cream"], settings["hockey"]
    return np.array([first, (1 - first) * share, (1 - first) * (1 - share)])


def numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """policy, its expected reward, the baseline, its best value, the exact gradient, the three sampled ones, the means
    of N samples, and the variance of such a mean."""
    p, rewards, N = policy_of(settings), np.array(REWARDS), settings["N"]
    J, logits = expected_reward(p, rewards), np.log(p)
    baseline = J if settings["follows"] else settings["baseline"]
    scores = score(np.tile(logits, (3, 1)), np.arange(3))
    luck = np.array([parts.uniform(settings["seed"], n) for n in range(DOTS * N)])
    drawn = kernels.draw(np.tile(p, (DOTS * N, 1)), luck).reshape(DOTS, N)
    exact = expected_reward_grad(logits, rewards)
    # Equations (8) and (9) of formulas.policy_gradient, for a mean of N.
    length = (scores ** 2).sum(axis=1)
    variance = (p @ (length * (rewards - baseline) ** 2) - exact @ exact) / N
    return {"policy": p, "reward": J, "baseline": baseline, "best": (p * length) @ rewards / (p @ length),
            "exact": exact, "sampled": (rewards - baseline)[:, None] * scores,
            "means": [log_derivative_estimate(scores[a], rewards[a] - baseline) for a in drawn], "variance": variance}


def said(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    words = ", ".join(f"{word} {shown(p)}" for word, p in zip(WORDS, found["policy"], strict=True))
    return (f"Policy: {words}; it earns {shown(found['reward'])}. With baseline {shown(found['baseline'])} the mean of "
            f"{settings['N']} has variance {shown(found['variance'])}; the best baseline is {shown(found['best'])}.")


def fragment() -> str:
    """The figure."""
    found = numbers(BEGIN)
    at = _place(found["policy"])
    corners = " ".join(f"{x:g},{y:g}" for x, y in CORNERS)
    names = [tag("text", f"{word} {reward:+g}".replace("-", "−"), x=x, y=y + (-10 if i == 0 else 20),
                 text_anchor=("middle", "start", "end")[i])
             for i, ((x, y), word, reward) in enumerate(zip(CORNERS, WORDS, REWARDS, strict=True))]
    names = [name.replace('x="20"', 'x="0"').replace('x="320"', 'x="340"') for name in names]
    ends = [_place(found["policy"] + SCALE * g) for g in (*found["sampled"], found["exact"])]
    dots = [_place(found["policy"] + SCALE * g) for g in found["means"]]
    picture = [
        tag("polygon", class_="w-band", points=corners), *names,
        *(tag("circle", k=f"dot{i}", class_="w-a w-dot", cx=x, cy=y, r=2.5) for i, (x, y) in enumerate(dots)),
        *(tag("line", k=f"sampled{i}", class_="w-arrow", x1=at[0], y1=at[1], x2=x, y2=y)
          for i, (x, y) in enumerate(ends[:3])),
        tag("line", k="exact", class_="w-arrow w-exact", x1=at[0], y1=at[1], x2=ends[3][0], y2=ends[3][1]),
        tag("circle", k="point", class_="w-point", cx=at[0], cy=at[1], r=7)]
    controls = (
        parts.slider("baseline", "Baseline b", -10, 10, 0.5, BEGIN["baseline"], 1),
        parts.box("follows", "b is the expected reward"),
        parts.slider("N", "N, draws per estimate", 1, 32, 1, BEGIN["N"], 0),
        parts.slider("cream", "Probability of cream", 0.02, 0.96, 0.02, BEGIN["cream"]),
        parts.slider("hockey", "Hockey’s share of the rest", 0.02, 0.98, 0.02, BEGIN["hockey"]),
        parts.number("seed", "Seed", 0, 9999, BEGIN["seed"]),
        parts.buttons(*(parts.button(f"b = {b}".replace("-", "−"), baseline=b, follows=False) for b in (0, -10)),
                      parts.button("b = E[R]", follows=True), parts.button("Sure of donkey", cream=0.06, hockey=0.06)))
    return parts.figure(
        "triangle", "The policy triangle.",
        "The large point is the policy on “I like ice ___”: the nearer to a corner, the likelier is its word. Thin "
        f"lines: the push if one word is drawn, for each word. Thick line: the exact gradient. Dots: {DOTS} estimates, "
        "each the mean of N draws. Drag the point. Move b: the cloud of dots changes its size, and its middle stays.",
        picture, 310, controls, said(found, BEGIN), data())


def _place(weights: np.ndarray) -> tuple[float, float]:
    """Where a point of the plane is drawn; the weights of the corners add to 1."""
    x, y = weights @ np.array(CORNERS)
    return x, y
