"""A figure of matplotlib's as part of a page: letters stay letters, colours follow the page, names clash with nobody's.

Inline, an SVG shares the page's style sheet and its ids.  So black becomes the colour of the text, white the paper's,
and ids carry the figure's name.  What stands on an image, whose colours are its own, stays as it was drawn.
"""
import re
import zlib
from collections import Counter
from xml.etree import ElementTree

import numpy as np

from rlscratch.report.tour.ladder import Figure

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
INK, BLUE, SKY, PAPER = "currentColor", "var(--blue)", "var(--sky)", "var(--paper)"
COLOURS = {"#000000": INK, "#222222": INK, "#262626": INK, "black": INK, "#0072b2": BLUE, "#56b4e9": SKY,
           "#ffffff": PAPER, "white": PAPER}
DOT, TILE = "M3 4a1 1 0 1 0 2 0a1 1 0 1 0-2 0z", 8        # what a hatching of many small circles becomes
# Lines of axes and their marks: what all figures have has its style in course.css.
CLASSES = {"stroke:currentColor;stroke-width:0.8": "mark",
           "fill:none;stroke:#b0b0b0;stroke-opacity:0.3;stroke-width:0.8;stroke-linecap:square": "grid",
           "fill:none;stroke:currentColor;stroke-width:0.8;stroke-linejoin:miter;stroke-linecap:square": "axis"}
PLACES = ("d", "x", "y", "x1", "x2", "y1", "y2", "points", "transform", "width", "height")


def inline(figure: Figure, label: str) -> str:
    """The figure as one or two <svg>: as wide as it was drawn and, if it was drawn so, for narrow screens."""
    if not figure.narrow:
        return _svg(figure.svg, figure.name, label, "")
    return (_svg(figure.svg, figure.name, label, "wide")
            + _svg(figure.narrow, f"{figure.name}-narrow", label, "narrow"))


def _svg(source: bytes, name: str, label: str, kind: str) -> str:
    root = ElementTree.fromstring(source)
    used = dict.fromkeys(re.findall(r"#([\w-]+)[\")]", source.decode("utf-8")))
    ids = {old: f"f{np.base_repr(zlib.crc32(name.encode()) % 36 ** 4, 36).lower()}-{i}" for i, old in enumerate(used)}
    _tidy(root)
    for pattern in root.iter(f"{SVG}pattern"):
        if len(pattern[-1].get("d", "")) > 2000:
            pattern.attrib |= {"width": str(TILE), "height": str(TILE)}
            pattern[-1].set("d", DOT)
    images = [_box(image.attrib) for image in root.iter(f"{SVG}image")]
    for element in root.iter():
        element.tag, own = element.tag.removeprefix(SVG), any(_within(element.attrib, box) for box in images)
        element.attrib = dict(filter(None, (_attribute(*pair, ids, own) for pair in element.attrib.items())))
    _share(root)
    width = float(root.attrib["viewBox"].split()[2]) * 4 / 3
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": kind, "role": "img", "aria-label": label,
                   "style": f"max-width:{width:.0f}px{_letters(root)}"}
    root.tail = None
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode").replace(" />", "/>"))


def _letters(root: ElementTree.Element) -> str:
    """Take the commonest size of letters from the texts that have it; it, as a style for all."""
    texts = [text for text in root.iter("text") if "style" in text.attrib]
    sizes = Counter(part for text in texts for part in text.attrib["style"].split(";") if part.startswith("font-size"))
    if not sizes:
        return ""
    (common, _), = sizes.most_common(1)
    for text in texts:
        parts = text.attrib.pop("style").split(";")
        if left := ";".join(part for part in parts if part not in (common, "text-anchor:start")):
            text.set("style", left)
    return f";{common}"


def _box(image: dict[str, str]) -> tuple[float, float, float, float]:
    """Where an image is seen: left, top, right, bottom.  matplotlib draws it upside down and turns it round."""
    x, y, width, height = (float(image[name]) for name in ("x", "y", "width", "height"))
    return x, -y, x + width, height - y


def _within(attributes: dict[str, str], box: tuple[float, float, float, float]) -> bool:
    """Whether an element begins within an image, or is the white ground below one."""
    begin = re.match(r"M (\S+) (\S+)", attributes.get("d", ""))
    x, y = map(float, begin.groups() if begin else (attributes.get("x", "nan"), attributes.get("y", "nan")))
    edge = 1 if attributes.get("style") == "fill: #ffffff" else -1
    left, top, right, bottom = box
    return left - edge < x < right + edge and top - edge < y < bottom + edge


def _tidy(element: ElementTree.Element) -> None:
    """Nothing that is not seen: metadata, styles for the whole page, groups that group nothing."""
    kept = []
    for child in element:
        _tidy(child)
        name = child.tag.rpartition("}")[2]
        if name in ("metadata", "style") or (name == "defs" and not len(child)):
            continue
        idle = name == "g" and not set(child.attrib) - {"id"}
        kept += list(child) if idle else [child]
    element[:] = kept


def _attribute(key: str, value: str, ids: dict[str, str], own: bool) -> tuple[str, str] | None:
    """One attribute of an element, as the page has it; None for one that says nothing."""
    if key == "id":
        return (key, ids[value]) if value in ids else None
    if key in (LINK, "href"):
        return "href", f"#{ids[value[1:]]}" if value.startswith("#") else value
    if key == "transform" and value.startswith(("rotate(-0 ", "rotate(0 ")):
        return None
    if key in PLACES:
        value = re.sub(r"-?\d+\.\d+(?:e-?\d+)?", _shorter, value)
        return key, _path(value) if key == "d" else value
    value = re.sub(r"url\(#([\w-]+)\)", lambda found: f"url(#{ids[found[1]]})", value)
    if key == "style":
        kept = ";font-family:monospace" if "monospace" in value else ""
        kept += ";fill:#000" if own and "font" in value and "fill" not in value else ""
        value = re.sub(r"font:[^;]*?([\d.]+px)[^;]*", r"font-size: \1", value)
        value = re.sub(r"(font-family|font-stretch)[^;]*;?\s*", "", value)
        value = value.replace("stroke-dashoffset: 0;", "")
        value = re.sub(r"([:;]) ", r"\1", re.sub(r"\d+\.\d{3,}", _shorter, value))
        value += kept
        if not own:
            value = re.sub("#[0-9a-f]{6}|black|white", lambda found: COLOURS.get(found[0], found[0]), value)
        if value in CLASSES:
            return "class", CLASSES[value]
    return key, value


def _path(value: str) -> str:
    """The commands of a path without what they do not need; where it has lines alone, by how far each goes.

    >>> _path("M 10.0 5 L 12.5 5 L 13 4.5 z"), _path("M 1 2 C 0 0 1 1 2 2")
    ('M10 5h2.5l.5-.5z', 'M1 2C0 0 1 1 2 2')
    """
    if re.search(r"[^MLz\d.\s-]", value):
        return re.sub(r"\s*([MLCQz])\s*", r"\1", value)
    said, last, x, y = "", "", 0, 0                     # in tenths, so that what is left off does not add up
    for command, *at in re.findall(r"([MLz])(?: *(\S+) (\S+))?", value):
        if command == "z":
            said, last = said + "z", "z"
            continue
        new = [round(10 * float(number)) for number in at]
        numbers, (dx, dy) = new, (new[0] - x, new[1] - y)
        if command == "L":
            command, numbers = ("h", [dx]) if dy == 0 else ("v", [dy]) if dx == 0 else ("l", [dx, dy])
        for number in numbers:
            shown = re.sub(r"^(-?)0\.", r"\1.", f"{number / 10:g}")
            said += (command if command != last else "" if shown[0] == "-" else " ") + shown
            last = command
        x, y = new
    return said


def _share(root: ElementTree.Element) -> None:
    """Marks that look alike have their style once, at the group that holds them."""
    for group in root.iter("g"):
        styles = {child.get("style") for child in group}
        if len(group) > 1 and len(styles) == 1 and None not in styles and not group.get("style"):
            group.set("style", styles.pop())
            for child in group:
                del child.attrib["style"]


def _shorter(found: re.Match) -> str:
    """A coordinate to a tenth of a point; factors near 0 keep their digits."""
    number = float(found[0])
    return f"{number:.1f}".removesuffix(".0") if abs(number) >= 0.1 or number == 0 else f"{number:.3g}"
