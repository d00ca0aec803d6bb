"""The chapters' own pictures as files, for slides: what a page shows inline, drawn once more as an example's figure is.

    python -m rlscratch.report.tour.slides        chapter_4_clip.svg and its caption; with RLSCRATCH_PNG a PNG, too

Figures that move are drawn as they begin.  A page's picture has its colours from the style sheets, by its classes; so
they are looked up there, in the light scheme.
"""
import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

from rlscratch.report import figures, widgets
from rlscratch.report.tour import course, page, pictures

INCHES, ROOM = 7.0, 10        # of a picture's width; units around it
HEAD = 1.3 * np.array([(-6.0, -4.0), (2.0, 0.0), (-6.0, 4.0)])      # of an arrow that goes to the right, ends at 0
ANCHOR = {"start": "left", "middle": "center", "end": "right"}


def main() -> None:
    """Write all of them; the figures that train a model first take some seconds."""
    for name, caption, source in shown():
        figures.save(drawn(source), name, caption)


def shown() -> Iterator[tuple[str, str, str]]:
    """Name, caption and SVG of each picture, in the order of the course."""
    for names in pictures.LOOPS:
        yield _titled(f"front_{names[0]}", pictures.loop(*names))
    for chapter in course.CHAPTERS:
        for kind, name in re.findall(r'{{ (picture|widget)\("(\w+)"\) }}', page.read(f"chapter_{chapter.number}.html")):
            own = f"chapter_{chapter.number}_{name}"
            if kind == "picture":
                yield _titled(own, getattr(pictures, name)())
            else:
                source = widgets.fragment(name)
                told = re.search(r"<figcaption>(.*?)</figcaption>", source, re.S)[1]
                yield f"{own}_moving", unescape(re.sub(r"<[^>]+>", "", told)), _svg(source)


def _titled(name: str, source: str) -> tuple[str, str, str]:
    return name, unescape(re.search(r'aria-label="(.*?)"', source)[1]), source


def _svg(source: str) -> str:
    return re.search(r"<svg.*?</svg>", source, re.S)[0]


@cache
def rules() -> list[tuple[set[str], dict[str, str]]]:
    """Classes, and what an element that has all of them looks like; a later one counts more."""
    css = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", page.read("course.css") + widgets.style())
    colours = dict(re.findall(r"--([\w-]+): light-dark\((#\w+),", css))
    found = []
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        looks = {key: re.sub(r"var\(--([\w-]+)\)", lambda name: colours[name[1]], said) for key, said in re.findall(
            r"(?<![\w-])((?:fill|stroke|font-style)[\w-]*): ([^;]+)", body)}
        for last in (selector.split()[-1] for selector in selectors.split(",") if looks):
            if classes := set(re.findall(r"\.([\w-]+)", last)):
                found.append((classes, looks))
    return found


def drawn(source: str) -> Figure:
    """An SVG of pictures.py or of a widget."""
    root = ElementTree.fromstring(source)
    width, height = (float(side) + 2 * ROOM for side in root.attrib["viewBox"].split()[2:])
    scale = 72 * INCHES / width
    figure, ax = figures.new(width=INCHES, height=INCHES * height / width)
    ax.set(position=(0, 0, 1, 1), xlim=(-ROOM, width - ROOM), ylim=(height - ROOM, -ROOM))
    ax.axis("off")
    for order, element in enumerate(root.iter()):
        if element is not root and element.get("display") != "none":
            _draw(ax, element, scale, order)
    return figure


def _draw(ax: Axes, element: ElementTree.Element, scale: float, order: int) -> None:
    """One element, above those before it."""
    classes = set(element.get("class", "").split())
    look = {"fill": figures.BLACK}
    for wanted, said in rules():
        look |= said if wanted <= classes else {}
    at = {key: float(number) for key, number in element.attrib.items() if re.fullmatch(r"-?[\d.]+", number)}
    if element.tag == "text":
        ax.text(at["x"], at["y"], element.text or "", size=at.get("font-size", 13) * scale, zorder=order,
                ha=ANCHOR[element.get("text-anchor", "start")], color=look["fill"],
                style=look.get("font-style", "normal"))
        return
    line = look.get("stroke", "none")
    wide = float(look.get("stroke-width", 1))
    dashes = "-"
    if "stroke-dasharray" in look:
        dashes = (0, [float(dash) / wide for dash in look["stroke-dasharray"].split()])
    style = {"edgecolor": line, "linewidth": wide * scale, "linestyle": dashes, "zorder": order,
             "facecolor": look["fill"]}
    if opacity := element.get("fill-opacity") or look.get("fill-opacity"):
        style["facecolor"] = (look["fill"], float(opacity))
    if element.tag == "rect":
        if at["width"] and at["height"]:
            ax.add_patch(FancyBboxPatch((at["x"], at["y"]), at["width"], at["height"],
                                        f"round,pad=0,rounding_size={at.get('rx', 0.01)}", **style))
    elif element.tag == "circle":
        ax.add_patch(Circle((at["cx"], at["cy"]), at["r"], **style))
    elif element.tag == "polygon":
        ax.add_patch(Polygon(_points(element.attrib["points"]), **style))
    else:
        for stroke in _strokes(element):
            ax.plot(*stroke.T, color=line, linewidth=wide * scale, linestyle=dashes, zorder=order)
        if element.get("marker-end"):
            along = stroke[-1] - stroke[-2]
            x, y = along / np.hypot(*along)
            ax.add_patch(Polygon(stroke[-1] + HEAD @ [[x, y], [-y, x]], facecolor=line, zorder=order))


def _points(said: str) -> np.ndarray:
    return np.array([pair.split(",") for pair in said.split()], float)


def _strokes(element: ElementTree.Element) -> list[np.ndarray]:
    """The lines of a <line>, a <polyline>, or a <path> of the commands M, H and V: (points, 2) each."""
    if element.tag == "polyline":
        return [_points(element.attrib["points"])]
    if element.tag == "line":
        return [np.array([[element.get(f"{axis}{end}") for axis in "xy"] for end in (1, 2)], float)]
    strokes: list[list[tuple[float, float]]] = []
    for command, numbers in re.findall(r"([MHV])([^MHV]+)", element.attrib["d"]):
        said = [float(number) for number in numbers.split()]
        if command == "M":
            strokes.append([(said[0], said[1])])
        else:
            x, y = strokes[-1][-1]
            strokes[-1].append((said[0], y) if command == "H" else (x, said[0]))
    return [np.array(stroke) for stroke in strokes]


if __name__ == "__main__":
    main()
