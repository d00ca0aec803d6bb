"""The chapters' pictures: small SVGs whose numbers the formulas gave when the page was made.

Each is 340 units wide, as wide as a telephone has room for, and its letters are letters.  Colours are the page's.
"""
import textwrap
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from rlscratch.check import Array
from rlscratch.documents import entries
from rlscratch.formulas import continuous, distribution, ppo
from rlscratch.mdp import MDP

WIDTH = 340
LOOPS = (("agent", "environment", "action", "state", "reward"), ("model", "text + scorer", "token", "prompt", "score"))
CREAM, REWARDS = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0])


def loop(agent: str, environment: str, action: str, answer: str, reward: str) -> str:
    """Who acts, on what, and what comes back; the names of the two boxes and of the three arrows."""
    label = f"{agent} gives {action} to {environment}, and gets {answer} and {reward} back."
    return _svg(176, label, [
        _box(100, 6, 140, 40, agent), _box(100, 126, 140, 40, environment),
        _arrow("M240 26 H292 V146 H246"), _text(286, 90, action, "end"),
        _arrow("M100 138 H44 V34 H94"), _text(52, 80, answer), _arrow("M100 156 H14 V16 H94"), _text(52, 104, reward)])


def bars(words: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], label: str, signed: bool = False) -> str:
    """Bars for each word, one of each row of numbers below the other; with `signed` to both sides of a line."""
    step, most = 14 * len(rows) + 12, max(abs(number) for _, row in rows for number in row)
    left, room = (210, 80) if signed else (84, 200)
    parts = []
    for i, word in enumerate(words):
        parts.append(_text(76, 8 + i * step + 7 * len(rows), word, "end"))
        for j, (_, row) in enumerate(rows):
            size = abs(row[i]) / most * room
            x = left - size * (row[i] < 0)
            y = 4 + i * step + 14 * j
            parts.append(f'<rect class="fill{j}" x="{x:.1f}" y="{y}" width="{size:.1f}" height="12"/>')
            said = f"{row[i]:+.2f}" if signed else f"{row[i]:.2f}"
            end, anchor = (x - 5, "end") if row[i] < 0 else (x + size + 5, "start")
            parts.append(_text(end, y + 10, said.replace("-", "−"), anchor, 11))
    height = len(words) * step + 4
    for j, (name, _) in enumerate(rows if len(rows) > 1 else ()):
        parts.append(f'<rect class="fill{j}" x="84" y="{height + 4}" width="10" height="10"/>')
        parts.append(_text(98, height + 13, name))
        height += 18
    return _svg(height + 2, label, parts)


def ocean() -> str:
    """Document 003's row for "Which is the largest ocean?"."""
    words, row = ("The", "Pacific", "It", "Atlantic", "Indian", "Arctic"), (0.45, 0.35, 0.12, 0.05, 0.02, 0.01)
    return bars(words, [("", row)], "Probabilities of the first word: " + _listed(words, row))


def pushes() -> str:
    """p and p (r - J) on "I like ice ___"."""
    push = distribution.expected_reward_grad(np.zeros(3), REWARDS)
    return bars(CREAM, [("push on the word", push)], "Pushes: " + _listed(CREAM, push), signed=True)


def lake() -> str:
    """The frozen lake with the value of every state, and the way to the goal."""
    import gymnasium
    _, value = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False), gamma=0.99).solve()
    path = next(entry.exact for entry in entries() if entry.id == "S0.path.greedy")
    parts = []
    for state in range(16):
        row, column = divmod(state, 4)
        x, y = 20 + 76 * column, 4 + 54 * row
        kind = "hole" if state in (5, 7, 11, 12) else "goal" if state == 15 else "way" if state in path else "ice"
        said = {"hole": "hole", "goal": "goal"}.get(kind, f"{value[state]:.3f}".lstrip("0"))
        parts += [f'<rect class="{kind}" x="{x}" y="{y}" width="72" height="50" rx="4"/>',
                  _text(x + 6, y + 15, str(state), size=11), _text(x + 36, y + 35, said, "middle")]
    return _svg(222, "The frozen lake: 16 states with their values; the way is " + ", ".join(map(str, path)), parts)


def clip() -> str:
    """PPO's objective over the ratio, for an advantage above and one below 0."""
    low, high, across = 0.4, 1.7, 300
    bounds = 0.8, 1.2
    rho = np.union1d(np.linspace(low, high, 27), bounds)       # the corners are points of the line
    at = [30 + (r - low) / (high - low) * across for r in (*bounds, *rho)]
    parts = [_text(10, 14, "objective"), _text(330, 198, "ratio ρ", "end"),
             f'<path class="thin" d="M30 100 H330 M{at[0]:.1f} 20 V180 M{at[1]:.1f} 20 V180"/>',
             *(_text(x, 194, str(bound), "middle", 11) for x, bound in zip(at, bounds, strict=False))]
    for j, (advantage, name) in enumerate(((1.0, "A > 0: flat above 1.2"), (-1.0, "A < 0: flat below 0.8"))):
        height = [-ppo.surrogate_loss(np.array([r]), np.array([advantage]), np.ones(1), 0.2, 0.2) for r in rho]
        line = " ".join(f"{x:.1f},{100 - 50 * h:.1f}" for x, h in zip(at[2:], height, strict=True))
        parts.append(f'<polyline class="line{j}" points="{line}"/>')
        parts.append(_text((330, 32)[j], (32, 128)[j], name, ("end", "start")[j]))
    return _svg(204, "PPO's objective: with a good answer it is flat above 1.2, with a bad one below 0.8.", parts)


def chain(*boxes: tuple[str, str]) -> str:
    """Boxes below each other, each with a line or two of what happens there."""
    parts = []
    for i, (name, said) in enumerate(boxes):
        lines = textwrap.wrap(said, 30)
        parts += [_box(4, 4 + 56 * i, 100, 38, name),
                  *(_text(114, 35 - 7.5 * len(lines) + 15 * j + 56 * i, line, size=12) for j, line in enumerate(lines))]
        if i:
            parts.append(_arrow(f"M54 {56 * i - 12} V{56 * i - 1}"))
    return _svg(56 * len(boxes) - 8, "; ".join(f"{name}: {said}" for name, said in boxes), parts)


def gaussian() -> str:
    """A Gaussian policy, the action that it drew, and where a good reward moves its middle."""
    x = np.linspace(-3, 3, 61)
    height = [np.exp(continuous.gaussian_logp([0.0], [0.0], [a])).item() for a in x]
    line = " ".join(f"{20 + 50 * (a + 3):.1f},{150 - 320 * h:.1f}" for a, h in zip(x, height, strict=True))
    return _svg(196, "A Gaussian policy drew an action to the right of its mean; a good reward moves the mean there.", [
        f'<polyline class="line0" points="{line}"/>', '<path class="thin" d="M10 150 H330 M170 150 V22"/>',
        _text(164, 166, "mean μ", "end"), '<path class="line1" d="M230 150 V72"/>', _text(236, 66, "it drew this"),
        _arrow("M176 176 H226"), _text(236, 180, "if it paid")])


def network() -> str:
    """From text to probabilities."""
    return chain(("text", "“The capital of Georgia is”"), ("tokens", "464 3139 286 7859 318"),
                 ("transformer", "each looks at those before it"), ("logits", "a score for every token"),
                 ("softmax", "a row of probabilities"))


def stages() -> str:
    """The three steps of RLHF."""
    return chain(("1 imitate", "answers that people wrote"), ("2 compare", "people rank; a model learns to score"),
                 ("3 train", "the policy, on the score, with a brake"))


def referee() -> str:
    """What stands beside what."""
    return chain(("document", "prints a number"), ("formula", "computes it again"), ("test", "proves the formula"),
                 ("verdict", "equal, rounded, one convention, other"))


def _listed(words: Iterable[str], numbers: Array | Sequence[float]) -> str:
    return ", ".join(f"{word} {number:.2f}" for word, number in zip(words, numbers, strict=True))


def _svg(height: float, label: str, parts: Iterable[str]) -> str:
    return (f'<svg class="picture" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
            + "".join(parts) + "</svg>")


def _text(x: float, y: float, said: str, anchor: str = "start", size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(said)}</text>'


def _box(x: float, y: float, width: float, height: float, said: str) -> str:
    return (f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
            + _text(x + width / 2, y + height / 2 + 5, said, "middle"))


def _arrow(path: str) -> str:
    """A line with a head at its end: the marker stands in layout.html, once a page."""
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'
