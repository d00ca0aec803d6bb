"""PPO's clip: one token, its probability dragged along; what the objective is worth there, and whether it still pulls.

As a function of the new probability the objective is made of two straight lines, since the ratio is pi_new / pi_old.
The presets are the steps of document 002's ice-cream example.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlscratch.formulas import ppo
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, tag

BEGIN = {"old": 0.33, "new": 0.40, "advantage": 2.0, "eps_low": 0.2, "eps_high": 0.2}
STEPS = {"1–3 draw": {"new": 0.33, "advantage": 0}, "4 advantage": {"new": 0.33},
         "5–6 ratio": {"eps_low": 0.5, "eps_high": 0.5}, "7–8 clip": {}}
LEFT, LONG, TOP, MIDDLE, UNIT, MOST = 34, 296, 10, 110, 22, 4.5    # the plot: left, width, top, 0, a unit, its limit


def numbers(settings: Mapping[str, float]) -> dict[str, Any]:
    """Ratio, clipped ratio, value (minus the loss), gradient dL/dlogp, and whether the clip holds the token."""
    logp, old = ([[np.log(settings[name])]] for name in ("new", "old"))
    clips = settings["eps_low"], settings["eps_high"]
    given = logp, old, [[settings["advantage"]]], [[1.0]], *clips
    rho = ppo.ratio(logp, old)
    return {"ratio": rho.item(), "clipped": ppo.clip_ratio(rho, *clips).item(), "value": -ppo.ppo_clip_loss(*given),
            "grad": ppo.ppo_clip_grad(*given).item(), "dead": bool(ppo.clipped_tokens(*given).item())}


def said(found: Mapping[str, Any], settings: Mapping[str, float]) -> str:
    """The same in a sentence."""
    pull = ("the token is dead: gradient 0, no pull" if found["dead"]
            else f"the token is live: gradient dL/dlog p = {shown(found['grad'])}")
    return (f"Ratio {shown(settings['new'])} / {shown(settings['old'])} = {shown(found['ratio'])}, clipped "
            f"{shown(found['clipped'])}. Value {shown(found['value'])}; {pull}.")


def fragment() -> str:
    """The figure."""
    found, at = numbers(BEGIN), corners(BEGIN)
    picture = [
        tag("rect", k="band", class_="w-band", x=_x(at["low"]), width=LONG * (at["high"] - at["low"]), y=TOP,
            height=200),
        tag("line", class_="w-line", x1=LEFT, y1=MIDDLE, x2=LEFT + LONG, y2=MIDDLE),
        *(tag("text", f"{x:g}", x=_x(x), y=226, text_anchor="middle") for x in (0, 0.5, 1)),
        tag("text", "new probability", x=_x(0.75), y=226, text_anchor="middle"),
        *(tag("text", shown(y, 0), x=LEFT - 6, y=_y(y) + 4, text_anchor="end") for y in (-4, -2, 0, 2, 4)),
        tag("text", "value", x=LEFT + 4, y=TOP + 10),
        tag("line", k="old", class_="w-line w-dash", x1=_x(BEGIN["old"]), y1=TOP, x2=_x(BEGIN["old"]), y2=210),
        tag("text", "old", k="old-name", x=_x(BEGIN["old"]) + 4, y=204),
        tag("polyline", k="plain", class_="w-curve w-dash", points=_points(at["plain"])),
        tag("polyline", k="curve", class_="w-curve w-thick", points=_points(at["curve"])),
        tag("circle", k="point", class_="w-point", cx=_x(BEGIN["new"]), cy=_y(found["value"]), r=8)]
    controls = (
        parts.slider("new", "New probability", 0.01, 0.99, 0.01, BEGIN["new"]),
        parts.slider("old", "Old probability", 0.05, 0.95, 0.01, BEGIN["old"]),
        parts.slider("advantage", "Advantage A", -3, 3, 0.1, BEGIN["advantage"], 1),
        parts.slider("eps_low", "Epsilon, below", 0, 0.5, 0.05, BEGIN["eps_low"]),
        parts.slider("eps_high", "Epsilon, above", 0, 0.5, 0.05, BEGIN["eps_high"]),
        parts.buttons(*(parts.button(label, **{**BEGIN, **changed}) for label, changed in STEPS.items()),
                      parts.button("A = −2", advantage=-2)))
    return parts.figure(
        "clip", "PPO’s clip.",
        "Thick line: the objective; dashed: without the clip; shaded: where the ratio is within its range. Drag the "
        "point out of the shade to both sides, for A above and below 0. The buttons are steps of the example above.",
        picture, 232, controls, said(found, BEGIN), {})


def corners(settings: Mapping[str, float]) -> dict[str, Any]:
    """Where the shade begins and ends, and the corners of both lines, in probabilities and values."""
    old, A = settings["old"], settings["advantage"]
    low, high = old * (1 - settings["eps_low"]), min(old * (1 + settings["eps_high"]), 1.0)
    end = min(1.0, old * MOST / abs(A)) if A else 1.0
    held = min(high, end) if A > 0 else low
    curve = ((0, 0), (held, A * held / old), (1, A * held / old)) if A > 0 else (
        (0, A * held / old), (held, A * held / old), (end, A * end / old))
    return {"low": low, "high": high, "plain": ((0, 0), (end, A * end / old)), "curve": curve}


def _x(probability: float) -> float:
    return LEFT + LONG * probability


def _y(value: float) -> float:
    return MIDDLE - UNIT * min(max(value, -MOST), MOST)


def _points(corners: tuple) -> str:
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in corners)
