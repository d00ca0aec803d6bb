"""The page of `rlscratch rlhf`: what each stage reached, and where the proxy is no longer worth what it says.

Written from the findings of pipeline.py, in the look of the tour's page: one file that needs nothing else.

Gold and proxy are drawn on one scale.  A reward model that is fitted to rankings estimates gold in units of the
labellers' noise, which is 1, up to a constant that nobody can know (tasks.labellers); so the constant is
chosen such that both agree on the fine-tuned policy, and where they part is where the proxy errs.
"""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rlscratch.check import Array
from rlscratch.report import figures
from rlscratch.report.rlhf import pipeline
from rlscratch.report.rlhf.pipeline import Findings
from rlscratch.report.tour import page
from rlscratch.report.tour.ladder import Figure
from rlscratch.tasks.preferences import BEST
from rlscratch.train.language.over_optimisation import Trajectory

GOLD, PROXY = {"linewidth": 1.8}, {"linewidth": 1.2, "linestyle": (0, (4, 2)), "alpha": 0.9}
DEEPEST = 8             # reward below the fine-tuned policy's at which a figure ends
BRAKES = (figures.RED, figures.ORANGE, figures.GREEN, figures.PURPLE)


def write(folder: Path, seconds: float) -> Path:
    """Draw the figures and write index.html into the run's folder; its path.

    seconds  that all stages took
    """
    found = pipeline.read(folder)
    drawn = [draw(found, folder) for draw in (frontier, overoptimisation, calibration, training)]
    path = folder / "index.html"
    page.write(path, page.template(__package__).render(
        found=found, names=pipeline.NAMES, drawn={figure.name: figure for figure in drawn}, about=page.about(),
        seconds=seconds, summary=pipeline.summary(found), free=found.brakes[0], best_gold=BEST))
    return path


def saved(figure: Any, name: str, caption: str, folder: Path) -> Figure:
    """A figure of a run, kept in its folder; for a telephone, too."""
    path = figures.save(figure, name, caption, folder / "figures", folder / "figures" / "narrow")
    return Figure(name, path.read_bytes(), caption, (path.parent / "narrow" / path.name).read_bytes())


# ---------------------------------------------------------------- reward against distance

def frontier(found: Findings, folder: Path) -> Figure:
    """Gold and proxy over KL: best-of-n, PPO on its way, DPO's end."""
    figure, ax = figures.new(height=4.0)
    points = found.best_of_n["reward-model"]
    offset = points[0]["reward"] - points[0]["proxy"]
    _curve(ax, points, offset, figures.BLUE, "best of n")
    for point in points[1:]:
        ax.annotate(f"{point['n']}", (point["kl"], point["reward"]), (0, 7), textcoords="offset points", fontsize=8,
                    color=figures.BLUE, ha="center")
    _path(ax, Trajectory.of(found.metrics["ppo"]), offset, figures.ORANGE, "PPO, step by step")
    for name, color, marker in (("ppo", figures.ORANGE, "s"), ("dpo", figures.GREEN, "D")):
        one = found.policies[name]
        ax.plot(one["kl"], one["reward"], color=color, marker=marker, markersize=8, linestyle="none", zorder=5,
                label=f"{pipeline.NAMES[name]} at its end, held out")
        ax.plot(one["kl"], one["proxy"] + offset, color=color, marker=marker, markersize=8, linestyle="none", zorder=5,
                markerfacecolor="white")
    ax.set(xlabel="KL from the fine-tuned policy, nats an answer", ylabel="reward", xlim=(0, None))
    _legend(ax, "lower right")
    return saved(figure, "frontier", "Gold (solid, filled) and proxy (dashed, hollow) against the distance from the "
                  "fine-tuned policy. The blue numbers are the n of best-of-n, whose distance is known; PPO's is "
                  "measured on each batch, averaged over some steps. The proxy has no zero of its own, and is moved "
                  "so that both agree at the start.", folder)


def overoptimisation(found: Findings, folder: Path) -> Figure:
    """Gold and the poor proxy over KL, for each brake and for best-of-n, with the turn of gold."""
    figure, ax = figures.new(height=4.6)
    points = found.best_of_n["few-rankings"]
    offset = points[0]["reward"] - points[0]["proxy"]
    _curve(ax, points, offset, figures.BLUE, "best of n")
    for brake, color in zip(found.brakes, BRAKES, strict=False):
        name = f"PPO, beta {brake.beta:g}" if brake.beta else "PPO without a brake"
        _path(ax, brake.run, offset, color, name)
        if brake.turn["turned"]:
            ax.plot(brake.turn["kl"], brake.turn["gold"], marker="o", markersize=11, markerfacecolor="none",
                    color=color, markeredgewidth=2, linestyle="none", zorder=6)
    free = found.brakes[0].turn
    if free["turned"]:
        ax.annotate(f"gold turns\nat step {free['step']:g}", (free["kl"], free["gold"]), (12, -80),
                    textcoords="offset points", fontsize=9, color=figures.RED,
                    arrowprops={"arrowstyle": "-", "color": figures.RED, "linewidth": 0.8, "shrinkB": 6})
    deepest = points[0]["reward"] - DEEPEST
    cut = "" if ax.get_ylim()[0] >= deepest else " Below the figure gold goes on falling."
    ax.set_ylim(bottom=max(ax.get_ylim()[0], deepest))
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set(xlabel="KL from the fine-tuned policy, nats an answer (scale of its square root)", ylabel="reward",
           xlim=(0, None))
    ax.set_xticks([tick for tick in (0, 0.5, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64) if tick <= ax.get_xlim()[1]])
    ax.xaxis.set_major_formatter("{x:g}")
    _legend(ax, "lower left")
    return saved(figure, "overoptimisation", "Gold (solid) and the proxy that learned from few rankings (dashed), "
                  "moved so that both agree at the start. A circle marks where smoothed gold is largest before it "
                  f"falls by more than noise can explain.{cut}", folder)


def _curve(ax: Axes, points: Sequence[Mapping[str, float]], offset: float, color: str, name: str) -> None:
    """Best-of-n."""
    kl, gold, proxy = (np.array([point[key] for point in points]) for key in ("kl", "reward", "proxy"))
    ax.plot(kl, gold, color=color, marker="o", markersize=4, label=name, zorder=4, **GOLD)
    ax.plot(kl, proxy + offset, color=color, marker="o", markersize=4, markerfacecolor="white", zorder=4, **PROXY)


def _path(ax: Axes, run: Trajectory, offset: float, color: str, name: str) -> None:
    """A run of PPO, smoothed but for where it begins."""
    smooth = run.smoothed(pipeline.window(len(run.step)))
    kl, gold, proxy = (np.r_[getattr(run, key)[0], getattr(smooth, key)] for key in ("kl", "gold", "proxy"))
    ax.plot(kl, gold, color=color, label=name, **GOLD)
    ax.plot(kl, proxy + offset, color=color, **PROXY)


def _legend(ax: Axes, place: str) -> None:
    """Who is who by colour, and what is what by dash."""
    handles, _ = ax.get_legend_handles_labels()
    kinds = [Line2D([], [], color=figures.BLACK, label="gold", **GOLD),
             Line2D([], [], color=figures.BLACK, label="proxy", **PROXY)]
    ax.legend(handles=[*handles, *kinds], loc=place, fontsize=9)


# ---------------------------------------------------------------- the reward models, the training

def calibration(found: Findings, folder: Path) -> Figure:
    """Of both reward models: how often comes true what they say."""
    figure, ax = figures.new(width=4.6, height=4.2)
    ax.plot((0, 1), (0, 1), color=figures.BLACK, linewidth=1, linestyle=":", label="as often as it says")
    for name, color in (("reward-model", figures.BLUE), ("few-rankings", figures.RED)):
        stage = found.stages[name]
        curve = {key: np.array(column, float) for key, column in stage["calibration"].items()}
        ax.plot(curve["chance"], curve["frequency"], color=color, linewidth=1.5,
                label=f"{stage['rankings']:,} rankings")
        ax.scatter(curve["chance"], curve["frequency"], 200 * np.sqrt(curve["count"] / curve["count"].sum()),
                   color=color, alpha=0.7)
    ax.set(xlabel="chance that the first answer wins, by the model", ylabel="how often it does", xlim=(0, 1),
           ylim=(0, 1), aspect="equal")
    ax.legend(loc="upper left", fontsize=9)
    return saved(figure, "calibration", "Of the held-out pairs to which a reward model gives the same chance, how "
                  "many the labellers decide so. A curve flatter than the dotted line is of a model that is too sure "
                  "of itself. Larger points stand for more pairs.", folder)


def training(found: Findings, folder: Path) -> Figure:
    """What each stage wrote down as it learned."""
    figure, axes = figures.new(3, 2, width=8.4, height=4.8)
    sft, many, few, ppo, dpo = (found.metrics[name] for name in ("sft", "reward-model", "few-rankings", "ppo", "dpo"))
    (first, second, third), (fourth, fifth, sixth) = axes
    _line(first, sft, "loss", figures.BLUE)
    first.set(title="SFT", ylabel="loss, nats a token")
    _line(second, many, "loss", figures.BLUE, f"{found.stages['reward-model']['rankings']:,} rankings")
    _line(second, few, "loss", figures.RED, f"{found.stages['few-rankings']['rankings']:,} rankings")
    second.set(title="reward models", ylabel="loss of a pair, nats")
    _line(third, dpo, "loss", figures.GREEN)
    third.set(title="DPO", ylabel="loss of a pair, nats")
    _line(fourth, ppo, "gold", figures.ORANGE, "gold")
    _line(fourth, ppo, "reward", figures.SKY, "proxy")
    fourth.set(title="PPO", ylabel="reward")
    _line(fifth, ppo, "kl", figures.ORANGE, "PPO")
    _line(fifth, dpo, "kl", figures.GREEN, "DPO")
    fifth.axhline(found.stages["ppo"]["kl_target"], color=figures.BLACK, linewidth=1, linestyle=":", label="target")
    fifth.set(title="distance", ylabel="KL, nats an answer", ylim=(0, None))
    _line(sixth, ppo, "beta", figures.ORANGE)
    sixth.set(title="PPO's brake", ylabel="beta", ylim=(0, None))
    for ax in axes.flat:
        ax.set(xlabel="step", xlim=(0, None))
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8)
    return saved(figure, "training", "What each stage wrote down step by step: faint as it was, strong averaged over "
                  "neighbours.", folder)


def _line(ax: Axes, lines: Sequence[Mapping[str, Any]], figure: str, color: str, name: str | None = None) -> None:
    """One figure over the steps that have it."""
    step, value = np.array([(line["step"], line[figure]) for line in lines if line.get(figure) is not None]).T
    ax.plot(step, value, color=color, alpha=0.3, linewidth=0.8)
    wide = pipeline.window(len(step))
    ax.plot(_mean(step, wide), _mean(value, wide), color=color, label=name)


def _mean(column: Array, window: int) -> Array:
    return np.convolve(column, np.full(window, 1 / window), "valid")
