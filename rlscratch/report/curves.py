"""Learning curves: what a run wrote down, as a picture."""
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from rlscratch.report import figures

RIVALS = (figures.ORANGE, figures.GREEN, figures.PURPLE, figures.BLACK)
UNIT = "_bits_per_byte"


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
    ax.set(ylabel="bits per byte", ylim=(0, max(*held, *train) * 1.05), xlim=(0, None))
    ax.legend(fontsize=8)


def pretraining(folder: str | Path) -> Path:
    """The learning curve of a run of `rlscratch pretrain`, as an SVG in its folder; the path."""
    folder = Path(folder)
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    result = json.loads((folder / "result.json").read_text("utf-8"))
    rivals = {name: result[name + UNIT] for name in ("gzip", "5-gram", "xz")}
    figure, ax = figures.new()
    minutes, held, train = ([point[key] for point in points] for key in ("seconds", "held_out" + UNIT, "train" + UNIT))
    draw(ax, [seconds / 60 for seconds in minutes], held, train, rivals)
    ax.set(title=f"{result['parameters']:,} parameters, {result['steps']:,} steps", xlabel="minutes")
    return figures.save(figure, "learning_curve", "Bits per byte over the minutes of training, on the part of the text "
                        "that is learned from and on the held-out tenth.  The level lines are what gzip, xz and "
                        "a 5-gram of bytes need for the held-out tenth when they are given the rest.", folder)
