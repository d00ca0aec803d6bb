"""The lake stepper: a recorded run of Q-learning, move by move, with the entry of Q that each of them changes.

The run is short and made here, with a seed, by the loop that `rlscratch train q-learning` uses.  What is kept of it is
its transitions; the table after any number of them follows from the update.
"""
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rlscratch.documents.d000_q_learning import ALPHA, GAMMA
from rlscratch.formulas.td import epsilon_greedy, q_target
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, tag
from rlscratch.train.tabular import q_learning
from rlscratch.train.tabular.lake import Lake

ACTIONS = ("Left", "Down", "Right", "Up")
STEPS, SEED = 2500, 3
EPSILON = (1.0, 0.1, 2000)                                  # from, to, by this step
BEGIN = {"step": 54}                                        # the first reward
CELL, EDGE = 80, 10                                         # a state's side, and the room around the map
# Of a state's four numbers: beside the lines through its middle, where the arrow of a move goes.
PLACES = ((3, 57, "start"), (44, 75, "start"), (77, 32, "end"), (36, 15, "end"))
PLACES_OF_MARK = ((-39, 4), (2, 22), (3, -21), (-38, -38))          # from the middle of the state


class Record(NamedTuple):
    """moves (N,), the table before each and after the last (N + 1,), episodes (N,), the map's letters (16,)."""

    moves: list[q_learning.Transition]
    tables: list[np.ndarray]
    episodes: list[int]
    letters: list[str]


@lru_cache
def record() -> Record:
    """The run."""
    lake = Lake("4x4", slippery=False, gamma=GAMMA)
    state = q_learning.State.zeros((16, 4), np.random.default_rng(SEED))
    run = Record([], [state.q], [], list(lake.env.unwrapped.desc.astype(str).ravel()))
    steps = q_learning.learn(lake.env, state, gamma=GAMMA, alpha=q_learning.falling(ALPHA),
                             epsilon=q_learning.linear(*EPSILON))
    for _ in range(STEPS):
        episode = state.episode + 1
        run.moves.append(next(steps))
        run.tables.append(state.q)
        run.episodes.append(episode)
    return run


def data() -> dict[str, Any]:
    """A move is four signs: state in base 16, action, next state, and what came: "g"oal, "h"ole, "t"oo long, "."."""
    run = record()
    last = [*(here != there for here, there in pairwise(run.episodes)), False]
    return {"moves": "".join(f"{s:x}{a}{s_next:x}{'g' if reward else 'h' if ended else 't' if over else '.'}"
                             for (s, a, reward, s_next, ended), over in zip(run.moves, last, strict=True)),
            "alpha": ALPHA, "gamma": GAMMA, "epsilon": EPSILON}


def numbers(settings: Mapping[str, int]) -> dict[str, Any]:
    """The table after so many moves, and the last move: what it changed, and how likely it was."""
    run, n = record(), settings["step"]
    if n == 0:
        return {"q": run.tables[0], "move": None}
    (s, a, reward, s_next, ended), before, after = run.moves[n - 1], run.tables[n - 1], run.tables[n]
    epsilon = q_learning.linear(*EPSILON)(n - 1)
    return {"q": after, "move": {
        "s": s, "a": a, "reward": float(reward), "s_next": s_next, "ended": bool(ended), "epsilon": epsilon,
        "probability": epsilon_greedy(before[s], epsilon, ties="share")[a], "old": before[s, a],
        "next": before[s_next].max(), "target": q_target(reward, before[s_next], 0.0 if ended else GAMMA),
        "new": after[s, a], "episode": run.episodes[n - 1]}}


def said(found: Mapping[str, Any], settings: Mapping[str, int]) -> str:
    """The same in a sentence."""
    move = found["move"]
    if move is None:
        return "Nothing has happened yet: the agent is at the start, and every entry of Q is 0."
    target = shown(move["reward"], 0) + ("" if move["ended"] else f" + {GAMMA} · {shown(move['next'], 4)}")
    action, old = ACTIONS[move["a"]], shown(move["old"], 4)
    return (f"Step {settings['step']}, episode {move['episode']}: {action} from s{move['s']} to s{move['s_next']}, "
            f"reward {shown(move['reward'], 0)}. With epsilon {shown(move['epsilon'])} this move had probability "
            f"{shown(move['probability'])}. Q(s{move['s']}, {action}) = {old} + {ALPHA} ({target} − {old}) = "
            f"{shown(move['new'], 4)}.")


def fragment() -> str:
    """The figure."""
    run, found, picture = record(), numbers(BEGIN), []
    for s, letter in enumerate(run.letters):
        x, y = _corner(s)
        picture.append(tag("rect", class_={"H": "w-hole", "G": "w-goal"}.get(letter, "w-cell"), x=x, y=y, width=CELL,
                           height=CELL))
        if letter in "HG":
            picture.append(tag("text", {"H": "hole", "G": "goal"}[letter], x=x + 40, y=y + 72, text_anchor="middle"))
    move = found["move"]
    (left, top), (here, there) = PLACES_OF_MARK[move["a"]], (_middle(move[name]) for name in ("s", "s_next"))
    picture += [tag("rect", k="mark", class_="w-mark", x=here[0] + left, y=here[1] + top, width=36, height=17, rx=3),
                tag("line", k="way", class_="w-arrow w-dash", x1=here[0], y1=here[1], x2=there[0], y2=there[1])]
    for s, letter in enumerate(run.letters):
        x, y = _corner(s)
        if letter not in "HG":
            picture += [tag("text", f"s{s}", class_="w-quiet", x=x + 77, y=y + 15, text_anchor="end"), *(
                tag("text", _small(found["q"][s, a]), k=f"q{s}-{a}", x=x + left, y=y + top, text_anchor=anchor)
                for a, (left, top, anchor) in enumerate(PLACES))]
    picture.append(tag("circle", k="agent", class_="w-point", cx=there[0], cy=there[1], r=8))
    paid = [i + 1 for i, move in enumerate(run.moves) if move.reward]
    controls = (
        parts.slider("step", "Step of the recorded run", 0, STEPS, 1, BEGIN["step"], 0),
        parts.buttons(parts.step("Back", "step", -1), parts.step("Next", "step", 1), parts.play("Play", "step", 1, 400),
                      parts.play("Fast", "step", 5, 50)),
        parts.buttons(parts.button("Start", step=0), parts.button("First reward", step=paid[0]),
                      parts.button("Second", step=paid[1]),
                      parts.button("Tenth", step=paid[9]), parts.button("End", step=STEPS)))
    return parts.figure(
        "lake", "The lake stepper.",
        "Each state has four numbers, its entries of Q, on the sides of its square: left, down, right, up. The point "
        "is the agent; the marked number has just changed. You see the first reward. Play on, or jump to the second "
        "and the tenth: the value creeps back towards the start.",
        picture, 2 * EDGE + 4 * CELL, controls, said(found, BEGIN), data())


def _small(x: float) -> str:
    """A number in a corner of a state: .951."""
    return shown(x, 3).removeprefix("0")[:4] if x else "0"


def _middle(s: int) -> tuple[float, float]:
    return tuple(x + CELL / 2 for x in _corner(s))


def _corner(s: int) -> tuple[int, int]:
    """The upper left corner of a state."""
    return EDGE + CELL * (s % 4), EDGE + CELL * (s // 4)
