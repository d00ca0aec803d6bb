"""The report card of `rlscratch life`: one file that needs nothing else, in the look of the tour's page."""
from pathlib import Path

import numpy as np

from rlscratch.report import figures
from rlscratch.report.life import findings
from rlscratch.report.life.findings import Findings
from rlscratch.report.rlhf.page import saved
from rlscratch.report.tour import page
from rlscratch.report.tour.ladder import Figure
from rlscratch.tasks.town.questions import CRITERIA

COLORS = dict(zip(CRITERIA, (figures.BLUE, figures.ORANGE, figures.GREEN), strict=True))


def write(found: Findings, folder: Path) -> Path:
    """Draw the figures and write index.html into the run's folder; its path."""
    drawn = [draw(found, folder) for draw in (curation, calibration, axes, trade_off)]
    path = folder / "index.html"
    page.write(path, page.template(__package__).render(
        found=found, drawn={figure.name: figure for figure in drawn}, about=page.about(), names=findings.STAGES,
        card=findings.card(found), criteria=CRITERIA, summary=findings.summary(found),
        seconds=sum(found.seconds.values())))
    return path


def curation(found: Findings, folder: Path) -> Figure:
    """Pages and tokens that each step leaves, as shares of what there was."""
    figure, ax = figures.new(height=3.4)
    steps = found.curation["steps"]
    for what, color in (("pages", figures.BLUE), ("tokens", figures.ORANGE)):
        ax.plot([one[what] / steps[0][what] for one in steps], color=color, marker="o", label=what)
    ax.set_xticks(range(len(steps)), [one["step"] for one in steps])
    ax.set(ylabel="share that is left", ylim=(0, 1.05))
    ax.legend()
    return saved(figure, "curation", "What is left after each step, as a share of what the crawler brought. Most "
                 "tokens are markup, and go with extraction.", folder)


def calibration(found: Findings, folder: Path) -> Figure:
    """How often a claim is right, by how sure the model is of it, before and after the cure."""
    figure, ax = figures.new(width=4.6, height=4.2)
    ax.plot((0, 1), (0, 1), color=figures.BLACK, linewidth=1, linestyle=":", label="as often as it says")
    for name, color in (("sft", figures.RED), ("cured", figures.BLUE)):
        curve = found.stages[name]["calibration"]
        ax.plot(curve["confidence"], curve["right"], color=color, label=findings.STAGES[name])
        count = np.array(curve["answers"], float)
        ax.scatter(curve["confidence"], curve["right"], 200 * np.sqrt(count / count.sum()), color=color, alpha=0.7)
    ax.set(xlabel="share of other answers that claim the same", ylabel="how often it is right", xlim=(-0.03, 1.03),
           ylim=(-0.03, 1.03), aspect="equal")
    ax.legend(loc="lower right", fontsize=9)
    return saved(figure, "calibration", "Claims about people of the town and about strangers, by how many of the other "
                 "answers to the same question claim the same. Larger points stand for more claims; who says that he "
                 "does not know claims nothing.", folder)


def axes(found: Findings, folder: Path) -> Figure:
    """The three bars, before and after."""
    figure, ax = figures.new(height=3.4)
    for place, (name, color) in enumerate((("sft", figures.SKY), ("cured", figures.BLUE), ("aligned", figures.ORANGE))):
        means, errors = zip(*(found.axis(name, criterion) for criterion in CRITERIA), strict=True)
        ax.bar(np.arange(len(CRITERIA)) + 0.27 * (place - 1), means, 0.25, yerr=errors, color=color, capsize=3,
               label=findings.STAGES[name])
    ax.set_xticks(range(len(CRITERIA)), CRITERIA)
    ax.set(ylabel="mean of 100", ylim=(0, 122))
    ax.legend(loc="upper center", ncols=3, fontsize=9)
    return saved(figure, "axes", "The three axes on held-out questions, with their standard errors.", folder)


def trade_off(found: Findings, folder: Path) -> Figure:
    """The axes over the weight of helpful."""
    figure, ax = figures.new(height=3.6)
    some = findings.weights(found)
    for criterion in CRITERIA:
        means, errors = zip(*(found.axis(name, criterion) for _, name in some), strict=True)
        ax.errorbar([weight for weight, _ in some], means, errors, color=COLORS[criterion], marker="o", capsize=3,
                    label=criterion)
    ax.set(xlabel="weight of helpful; the other two share the rest", ylabel="mean of 100", ylim=(0, 122))
    ax.legend(loc="upper center", ncols=3, fontsize=9)
    return saved(figure, "trade-off", "What GRPO makes of the same model with other weights: of an address helpful "
                 "wants what harmless forbids, and of a stranger a helpful answer is no honest one.", folder)
