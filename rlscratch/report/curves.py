"""Learning curves: what a run wrote down, as a picture."""
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rlscratch.files import read_json, read_lines
from rlscratch.report import figures

RIVALS = (figures.ORANGE, figures.GREEN, figures.PURPLE, figures.BLACK)
UNIT = "_bits_per_byte"

# Figures of a step, each with the label of its panel; a run has panels for those that it wrote down.
PANELS = {"reward": "reward", "loss": "loss", "kl": "KL from the reference, nats",
          "entropy": "entropy, nats a token", "clip_fraction": "share of tokens clipped",
          "gradient_norm": "norm of the gradient", "answer_length": "tokens of an answer",
          "tokens_per_second": "tokens/s",
          "success_probability": "probability of the goal", "expected_reward": "expected reward",
          "expected_return": "expected return of an episode",
          "mean_return": "mean return of an episode", "max_error": "largest |Q - Q*|",
          "path_error": "largest |max Q - V*| on the path", "cross_entropy": "cross-entropy, nats a move",
          "kl_from_reference": "KL from the reference, nats", "flat_groups": "share of groups that are flat",
          "held_out_bits_per_byte": "bits per byte, held out", "train_bits_per_byte": "bits per byte, learned from"}
SHARE = 0.05            # of the steps: over so many the dark lines average
COLUMNS, LONGEST = 3, 20                # panels in a row; letters of a run's name in a legend


def of_finished(run: Path, draw: Callable[[Path], Path]) -> Path | None:
    """The figure that `draw` makes of a run that has ended; where it cannot, one line says so and the run stands."""
    try:
        return draw(run)
    except Exception as reason:
        print(f"rlscratch: the run is whole, its figure could not be drawn: {reason}", file=sys.stderr)
        return None


def draw(ax: Axes, x: Sequence[float], held: Sequence[float], train: Sequence[float],
         rivals: Mapping[str, float]) -> None:
    """Bits per byte on both parts of the text over x, and level lines for what does not learn on the way.

    train   of the steps since the mark before, while the model was learning (dropout on)
    rivals  name -> bits per byte on the held-out part
    """
    ax.plot(x, train, color=figures.SKY, marker="s", markersize=3, label=f"transformer, learned from: {train[-1]:.2f}")
    ax.plot(x, held, color=figures.BLUE, marker="o", markersize=4, label=f"transformer, held out: {held[-1]:.2f}")
    for (name, bits), color, dash in zip(rivals.items(), RIVALS, ((4, 2), (1, 1), (6, 2, 1, 2), (8, 3)), strict=False):
        ax.axhline(bits, color=color, linewidth=1.4, dashes=dash, label=f"{name}, held out: {bits:.2f}")
    ax.set(ylabel="bits per byte", ylim=(0, max(*held, *train, *rivals.values()) * 1.05), xlim=(0, None))
    ax.legend(fontsize=8)


def pretraining(folder: str | Path) -> Path:
    """The learning curve of a run of `rlscratch pretrain`, as an SVG in its folder; the path."""
    folder = Path(folder)
    points = read_lines(folder / "metrics.jsonl")
    result = read_json(folder / "result.json")
    rivals = {name: result[name + UNIT] for name in ("gzip", "5-gram", "xz")}
    figure, ax = figures.new()
    minutes, held, train = ([point[key] for point in points] for key in ("seconds", "held_out" + UNIT, "train" + UNIT))
    draw(ax, [seconds / 60 for seconds in minutes], held, train, rivals)
    ax.set(title=f"{result['parameters']:,} parameters, {result['steps']:,} steps", xlabel="minutes")
    return figures.save(figure, "learning_curve", "Bits per byte over the minutes of training, on the part of the text "
                        "that is learned from and on the held-out tenth.  The level lines are what gzip, xz and "
                        "a 5-gram of bytes need for the held-out tenth when they are given the rest.", folder)


def training(folder: str | Path, name: str = "training_curves", into: Path | None = None,
             widest: int = COLUMNS, points: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """What the steps of a run of `rlscratch train` wrote down, as an SVG of that name in its folder; the path.

    into    another folder for the SVG
    widest  panels in a row, at most
    points  what the steps wrote down, if it was read already
    """
    folder = Path(folder)
    points = read_lines(folder / "metrics.jsonl") if points is None else points
    config = read_json(folder / "config.json")
    path = folder / "result.json"
    result = read_json(path) if path.exists() else {}
    calibration = result.get("calibration")
    best = {key.removeprefix("best_"): value for key, value in result.items() if key.startswith("best_")}
    shown = [key for key in PANELS if any(point.get(key) is not None for point in points)]
    count = len(shown) + (calibration is not None)
    rows, columns = math.ceil(count / widest), min(count, widest)
    figure, axes = figures.new(columns, rows, width=3.1 * columns, height=0.4 + 2.3 * rows)
    panels = list(np.ravel(axes))
    window = max(1, round(SHARE * len(points)))
    for ax, key in zip(panels, shown, strict=False):
        steps(ax, points, key, window)
        if key in best:
            ax.axhline(best[key], color=figures.BLACK, linewidth=1, dashes=(1, 1))
    if calibration is not None:
        calibrated(panels[len(shown)], calibration)
    for ax in panels[count:]:
        ax.remove()
    figure.suptitle(_title(config), x=0.01, ha="left")
    caption = ("Figures that the run wrote down, over the steps of training." if window == 1 else
               f"Figures of each step (pale) and their means over {window} steps (dark), over the steps of training.")
    if calibration is not None:
        caption += ("  The last panel: how often the answer that the reward model likes more is ranked higher, over "
                    "the chance that it gives, on rankings that it did not learn from.")
    if best.keys() & {*shown}:
        caption += "  Dotted: the best possible."
    return figures.save(figure, name, caption, into or folder)


def beside(runs: Mapping[str, Sequence[Mapping[str, Any]]], name: str, folder: Path, widest: int = COLUMNS) -> Path:
    """The figures of one run or of several, a colour each, as an SVG of that name in a folder; the path.

    runs    what a run is called -> its points; at least one has a figure with a panel
    widest  panels in a row, at most
    """
    shown = [key for key in PANELS if any(point.get(key) is not None for points in runs.values() for point in points)]
    rows, columns = math.ceil(len(shown) / widest), min(len(shown), widest)
    figure, axes = figures.new(columns, rows, width=3.1 * columns, height=0.4 + 2.3 * rows)
    panels = list(np.ravel(axes))
    for ax, key in zip(panels, shown, strict=False):
        for (called, points), color in zip(runs.items(), (figures.BLUE, *RIVALS), strict=False):
            x, y = ([point[axis] for point in points if point.get(key) is not None] for axis in ("step", key))
            window = max(1, round(SHARE * len(x)))
            ax.plot(x, y, color=color, linewidth=0.8, alpha=0.35 if window > 1 else 1,
                    marker="o" if len(x) < len(points) or len(x) == 1 else None, markersize=3)
            ax.plot(x[window - 1:], np.convolve(y, np.full(window, 1 / window), "valid") if x else [], color=color,
                    label=called if len(called) <= LONGEST else f"...{called[-LONGEST:]}")
        ax.set(xlabel="step", title=PANELS[key])
    for ax in panels[len(shown):]:
        ax.remove()
    if len(runs) > 1:
        panels[0].legend(fontsize=9)
    return figures.save(figure, name, "What the steps wrote down: pale as it was, dark averaged over a twentieth of "
                        "the steps.", folder)


def _title(config: Mapping[str, Any]) -> str:
    """The command, as far as it says what was trained on: of a file the name alone."""
    said = [f"--{key} {str(value).split(', ')[0]}" for key in ("task", "env", "map", "seed")
            if (value := config.get(key)) is not None]
    return " ".join([config["command"], *said, *(["--slippery"] if config.get("slippery") else [])])


def steps(ax: Axes, points: Sequence[Mapping[str, Any]], name: str, window: int = 1) -> None:
    """One figure over the steps, where they have it, and its mean over the last `window` of them."""
    x, y = zip(*((point["step"], point[name]) for point in points if point.get(name) is not None), strict=True)
    sparse = len(x) < len(points)
    gold = name == "reward" and all("gold" in point for point in points)
    averaged = not sparse and len(x) >= window > 1
    ax.plot(x, y, color=figures.BLUE, linewidth=0.8, alpha=0.35 if averaged else 1,
            marker="o" if sparse or len(x) == 1 else None, markersize=3)
    if averaged:
        ax.plot(x[window - 1:], np.convolve(y, np.full(window, 1 / window), "valid"), color=figures.BLUE,
                label="by the reward model" if gold else None)
    if gold:
        ax.plot(x, [point["gold"] for point in points], color=figures.ORANGE, linewidth=1, label="the task's own")
        ax.legend(fontsize=8)
    ax.set(xlabel="step", title=PANELS[name])


def calibrated(ax: Axes, curve: Mapping[str, Sequence[float]]) -> None:
    """How often a pair comes out as a reward model has it, over the chance that it gives."""
    ax.plot([0, 1], [0, 1], color=figures.BLACK, linewidth=1, dashes=(4, 2))
    ax.plot(curve["chance"], curve["frequency"], color=figures.GREEN, marker="o", markersize=4)
    ax.set(xlabel="chance by the scores", title="how often it comes true", xlim=(0, 1), ylim=(0, 1))
