"""Figures that keep one look: colours that survive colour blindness, labels with units, a caption.

A figure is an SVG file with its caption beside it.  The folder is the environment's RLSCRATCH_OUT,
or out/ where that is not set, so an example run by hand and one run by the tour share one path.
With RLSCRATCH_PNG, dots an inch, each is a PNG file, too: `make figures` sets it, for slides.
Where the environment has RLSCRATCH_NARROW, the figure is drawn once more for that folder, as wide as
a telephone: panels below each other, letters as large as before.

Nothing is shown on a screen, unless the environment's MPLBACKEND asks for it: a notebook's kernel sets
it, and shows below a cell the figures that the cell leaves open.
"""
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use(os.environ.get("MPLBACKEND", "Agg"))
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter, LogFormatter

from rlscratch.files import write_atomic

# Okabe and Ito's palette: told apart with any kind of colour vision, and in grey by lightness.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#222222")

STYLE = {
    "axes.grid": True, "axes.grid.axis": "y", "grid.alpha": 0.3, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "axes.titlesize": 11, "axes.labelsize": 10, "font.size": 10, "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK]),
    "figure.constrained_layout.use": True, "path.simplify_threshold": 0.5, "svg.hashsalt": "rlscratch",
    "svg.fonttype": "none",
}

NARROW = 3.6            # inches
LEAST = 9               # points of the smallest letters, in a figure of up to 7 inches: 11 pixels of a screen
SMALL, LETTERS, TOGETHER = LEAST + 0.5, 37, 32          # narrow: points; letters of a line of text; of names on an axis
AROUND = 0.7            # inches of a panel's title, and of the names and numbers below it


def new(columns: int = 1, rows: int = 1, *, width: float = 7.0, height: float = 3.4) -> tuple[Figure, Axes]:
    """A figure in the house's style and its axes (an array of them for several); inches."""
    matplotlib.rcdefaults()         # a matplotlibrc of the user's, text.usetex say, has no say here
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(width, height))


def save(figure: Figure, name: str, caption: str, folder: Path | None = None, narrow: Path | None = None) -> Path:
    """Write NAME.svg and its caption, NAME.json, into a folder; returns the path of the SVG.

    caption  one or two sentences: what is drawn, in which units, and what to see in it
    folder   None: the output folder, and a line on standard error that says where the figure went
    narrow   a folder for the same as wide as a telephone; with neither, RLSCRATCH_NARROW
    """
    told, narrow = folder is None, narrow or (folder is None and os.environ.get("RLSCRATCH_NARROW"))
    folder = folder or Path(os.environ.get("RLSCRATCH_OUT") or "out")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.svg"
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatter):
            axis.set_major_formatter(_Power(axis.get_major_formatter()))
            axis.set_minor_formatter(_Power(axis.get_minor_formatter()))
    _enlarge(figure)
    write_atomic(path, lambda part: figure.savefig(part, format="svg", metadata={"Date": None}))
    if dots := os.environ.get("RLSCRATCH_PNG"):
        write_atomic(path.with_suffix(".png"), lambda part: figure.savefig(part, format="png", dpi=float(dots)))
    write_atomic(path.with_suffix(".json"),
                 lambda part: part.write_text(json.dumps({"figure": path.name, "caption": caption}), "utf-8"))
    if narrow:
        Path(narrow).mkdir(parents=True, exist_ok=True)
        _stack(figure)
        figure.savefig(Path(narrow) / path.name, format="svg", metadata={"Date": None})
    if told:
        print(f"figure: {path}", file=sys.stderr)
    if "MPLBACKEND" not in os.environ:
        plt.close(figure)
    return path


class _Power(Formatter):
    """The numbers of a logarithmic axis, 0.01 or 10⁻⁶, in letters of one size; `axis` says which are written."""

    def __init__(self, axis: Formatter) -> None:
        self.written = axis

    def set_locs(self, locs: Any) -> None:
        """All numbers of the axis, on which it depends which are written."""
        self.written.set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One of them."""
        if not self.written(x, pos):
            return ""
        if x == 0 or 1e-4 <= abs(x) < 1e5:
            return f"{x:g}"
        digits, _, power = f"{x:e}".partition("e")
        above = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return (f"{float(digits):g}·10" if float(digits) != 1 else "10") + above


def _enlarge(figure: Figure, least: float = LEAST) -> None:
    """No letter is smaller than can be read; a wide figure is shown smaller than it is."""
    least *= max(1.0, figure.get_figwidth() / 7)
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if any(label.get_fontsize() < least for label in axis.get_ticklabels()):
                axis.set_tick_params(labelsize=least)           # ticks that are made later, too
    for text in figure.findobj(Text):
        if text.get_fontsize() < least:
            text.set_fontsize(least)


def _stack(figure: Figure) -> None:
    """Panels below each other, legends above them, lines of text that end in time."""
    height, wide = figure.get_figheight(), max(1.0, figure.get_figwidth() / 7)
    for text in figure.findobj(Text):
        text.set_fontsize(min(text.get_fontsize() / wide, 11))
    for ax in [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]:
        ax.remove()                     # the numbers stand in the cells
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    grids = {id(ax.get_gridspec()): ax.get_gridspec() for ax in panels}
    rows, columns = max((grid.get_geometry() for grid in grids.values()), default=(1, 1))
    single = len(grids) == 1
    most = min(height / rows, 3.0) if single and columns > 1 else height / rows
    around = [AROUND + _above(ax) if ax.axison else 0.1 for ax in panels]
    inner = [most - AROUND if ax.axison else _page(ax) for ax in panels]
    if single:
        below = GridSpec(len(panels), 1, figure=figure, height_ratios=inner)
        for panel, place in zip(panels, below, strict=False):
            panel.set_subplotspec(place)
            panel.tick_params(labelleft=True, labelbottom=True)
    figure.set_size_inches(NARROW, sum(inner + around) if single else height + max(around) - AROUND)
    for ax in figure.axes:
        for text in (ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label):
            text.set_text(textwrap.fill(text.get_text(), 30))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_tick_params(labelsize=SMALL)
            if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter | StrCategoryFormatter):
                _wrap(axis, 9 if axis is ax.xaxis else 16)
    _enlarge(figure, SMALL)


def _above(ax: Axes) -> float:
    """Put a panel's legend above it, where it hides nothing; the inches that it takes."""
    if (legend := ax.get_legend()) is None:
        return 0.0
    names = [textwrap.fill(text.get_text(), 36) for text in legend.get_texts()]
    columns = 2 if max(map(len, names)) <= 14 and len(names) > 1 else 1
    title = legend.get_title().get_text() or None
    lines = sum(name.count("\n") + 1 for name in names)
    points = (-(-lines // columns) + (title is not None)) * SMALL * 1.5 + 4
    ax.legend(legend.legend_handles, names, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=columns,
              title=title, alignment="left", fontsize=SMALL, borderpad=0.2)
    for place in ("left", "center"):
        if said := ax.get_title(place):
            ax.set_title(said, loc=place, pad=points + 4)
    return points / 72


def _page(ax: Axes) -> float:
    """Lines of text in a panel without axes, cut to a telephone's width, below each other; the inches they take."""
    blocks = [[part for line in text.get_text().split("\n")
               for part in textwrap.wrap(line, LETTERS, subsequent_indent=" " * 6) or [""]] for text in ax.texts]
    lines, at = sum(map(len, blocks)) + len(blocks) - 1, 0
    for text, block in zip(ax.texts, blocks, strict=True):
        text.set(text="\n".join(block), position=(0, 1 - at / max(lines, 1)), fontsize=SMALL)
        at += len(block) + 1
    return lines * SMALL * 1.3 / 72


def _wrap(axis: Axis, characters: int) -> None:
    """Names along an axis, in lines so long; aslant where they would meet."""
    ticks, names = axis.get_ticklocs(), [label.get_text() for label in axis.get_ticklabels()]
    if len(ticks) != len(names):
        return
    names = [textwrap.fill(name, characters, break_long_words=False) for name in names]
    side_by_side = sum(max(map(len, name.split("\n"))) + 2 for name in names)
    slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axis.set_ticks(ticks, names, **slant if axis.axis_name == "x" and side_by_side > TOGETHER else {})
