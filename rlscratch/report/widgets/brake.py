"""The KL brake: beta moves the best policy between the reward and the reference, on document 003's four answers.

For each beta the policy is the exact optimum of E[R] - beta KL(policy || reference).
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlscratch.documents.d003_distributions_to_policies import feedback as d003
from rlscratch.formulas import kl as f
from rlscratch.formulas.distribution import expected_reward
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, signed, tag

WORDS = ("Paris", "London", "Banana", "don’t know")
BEGIN = {"beta": 1.0}
ROW, TOP, LEFT, LONG, COLUMNS = 30, 24, 78, 88, {"k1": 246, "k2": 292, "k3": 338}
LOWEST, HIGHEST = -1.5, 1.0                                 # powers of ten of beta
CURVE, BASE, ACROSS, UP = 34, 312, 320, 190                 # the curve: left, bottom, units a nat and a point


def data() -> dict[str, Any]:
    """Reference and rewards."""
    return {"ref": d003.FRANCE_BEFORE, "rewards": d003.FRANCE_REWARDS}


def numbers(settings: Mapping[str, float]) -> dict[str, Any]:
    """The best policy, what it earns, its KL and objective; k1, k2, k3 of each answer and their means."""
    ref, rewards, beta = *map(np.array, data().values()), settings["beta"]
    policy = f.kl_optimal_policy(ref, rewards, beta)
    estimators = {name: of(np.log(policy), np.log(ref)) for name, of in (
        ("k1", f.kl_k1), ("k2", f.kl_k2), ("k3", f.kl_k3))}
    return {"policy": policy, "reward": expected_reward(policy, rewards), "kl": f.kl(policy, ref).item(),
            "objective": f.kl_objective(policy, ref, rewards, beta), **estimators,
            "means": {name: (policy @ each).item() for name, each in estimators.items()}}


def said(found: Mapping[str, Any], settings: Mapping[str, float]) -> str:
    """The same in a sentence."""
    return (f"Beta {shown(settings['beta'])}: the best policy earns {shown(found['reward'], 3)} and is "
            f"{shown(found['kl'], 3)} nats from the reference, which costs {shown(settings['beta'] * found['kl'], 3)}. "
            f"What is left: {shown(found['objective'], 3)}.")


def short(x: float) -> str:
    """A number for a column of five letters.

    >>> short(-0.54), short(-19.04), short(181.2), short(1e9)
    ('−0.54', '−19.0', '+181', '> 999')
    """
    return "> 999" if x >= 999.5 else signed(x, 2 if abs(x) < 9.995 else 1 if abs(x) < 99.95 else 0)


def fragment() -> str:
    """The figure."""
    found, ref = numbers(BEGIN), d003.FRANCE_BEFORE
    picture = [tag("text", name, x=x, y=12, text_anchor="end") for name, x in COLUMNS.items()]
    for i, word in enumerate(WORDS):
        y, p = TOP + ROW * i, found["policy"][i]
        picture += [
            tag("text", word, x=0, y=y + 15),
            tag("rect", k=f"bar{i}", class_="w-a", x=LEFT, y=y + 3, width=LONG * p, height=15),
            tag("rect", class_="w-ghost", x=LEFT, y=y + 3, width=LONG * ref[i], height=15),
            tag("text", shown(p), k=f"p{i}", x=LEFT + LONG * max(p, ref[i]) + 4, y=y + 15),
            *(tag("text", short(found[k][i]), k=f"{k}-{i}", x=x, y=y + 15, text_anchor="end")
              for k, x in COLUMNS.items())]
    y = TOP + ROW * len(WORDS)
    picture += [tag("text", "mean under the policy", x=0, y=y + 14),
                *(tag("text", signed(found["means"][k]), k=k, x=x, y=y + 14, text_anchor="end")
                  for k, x in COLUMNS.items())]
    picture += _curve(found)
    controls = (
        parts.slider("beta", "Beta: the price of a nat, in reward", LOWEST, HIGHEST, 0.05, 0.0, log=True),
        parts.buttons(parts.button("Nearly no brake", beta=0.05), parts.button("1", beta=1),
                      parts.button("Hardly moves", beta=10)))
    return parts.figure(
        "brake", "The KL brake.",
        "“What’s the capital of France?” Bars: the best policy for this beta; outlines: the reference. k1, k2 and k3 "
        "estimate the KL from one answer: k1 and k3 are right on average, k2 nearly while the two are near. Curve: the "
        "reward that the best policy earns at each distance; the point is this beta.",
        picture, BASE + 20, controls, said(found, BEGIN), data())


def _curve(found: Mapping[str, Any]) -> list[str]:
    """Reward over KL of the best policies, and this one on it."""
    all_ = [numbers({"beta": 10.0 ** power}) for power in np.linspace(LOWEST, HIGHEST, 41)]
    line = " ".join(f"{_x(one['kl']):.1f},{_y(one['reward']):.1f}" for one in all_)
    return [
        tag("line", class_="w-line", x1=CURVE, y1=BASE, x2=CURVE + 0.94 * ACROSS, y2=BASE),
        *(tag("text", f"{x:g}", x=_x(x), y=BASE + 15, text_anchor="middle") for x in (0, 0.3, 0.6, 0.9)),
        tag("text", "KL, nats", x=_x(0.75), y=BASE + 15, text_anchor="middle"),
        *(tag("text", f"{y:g}", x=CURVE - 5, y=_y(y) + 4, text_anchor="end") for y in (0.5, 0.7, 0.9)),
        tag("text", "reward", x=CURVE + 4, y=_y(1) + 4),
        tag("polyline", class_="w-curve w-thick", points=line),
        tag("circle", k="point", class_="w-point", cx=_x(found["kl"]), cy=_y(found["reward"]), r=8)]


def _x(nats: float) -> float:
    return CURVE + ACROSS * nats


def _y(reward: float) -> float:
    return BASE - UP * (reward - 0.4)
