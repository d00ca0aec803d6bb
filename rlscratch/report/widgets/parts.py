"""What a figure that moves is made of: a picture, controls, a sentence, its data.

The picture is drawn here once, for the settings that it begins with; it is what one sees on paper and without
scripts.  Parts that a setting changes have a key (data-k), by which the script finds them.  So the script moves
what is there and draws nothing anew.  Controls are the browser's own, so a keyboard and a finger can use them.
"""
import json
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from typing import Any

WIDTH = 340         # units of every picture; at 312 px or more its text is at least 11 px high


def shown(x: float, digits: int = 2) -> str:
    """A number as the script writes it: what lies in the middle goes away from 0, and there is no −0.

    >>> shown(-0.25), shown(-0.001), shown(1.125), shown(3, 0)
    ('−0.25', '0.00', '1.13', '3')
    """
    rounded = Decimal(float(x)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{abs(rounded) if rounded == 0 else rounded:f}".replace("-", "−")


def signed(x: float, digits: int = 2) -> str:
    """The same with a plus, where it is more than 0."""
    return ("+" if x >= 0.5 * 10.0 ** -digits else "") + shown(x, digits)


def uniform(seed: int, n: int) -> float:
    """The n-th number in [0, 1) of mulberry32, as in formulas.js: both languages draw the same.

    >>> round(uniform(1, 0), 6), round(uniform(1, 1), 6)
    (0.627074, 0.002736)
    """
    def times(a: int, b: int) -> int:
        return a * b & 0xFFFFFFFF

    t = (seed + times(n + 1, 0x6D2B79F5)) & 0xFFFFFFFF
    t = times(t ^ t >> 15, t | 1)
    t ^= (t + times(t ^ t >> 7, t | 61)) & 0xFFFFFFFF
    return (t ^ t >> 14) / 2**32


# ---------------------------------------------------------------- the picture

def tag(name: str, text: str = "", /, **attributes: Any) -> str:
    """An element of the picture.  k is its key, class_ its class, off leaves it out for now; numbers to one decimal.

    >>> tag("rect", k="bar", x=1 / 3, stroke_width=2)
    '<rect data-k="bar" x="0.3" stroke-width="2"></rect>'
    """
    if attributes.pop("off", False):
        attributes["display"] = "none"
    names = {"k": "data-k", "class_": "class"}
    said = "".join(f' {names.get(key, key if key == "viewBox" else key.replace("_", "-"))}="{_value(x)}"'
                   for key, x in attributes.items())
    return f"<{name}{said}>{escape(text, quote=False)}</{name}>"


def _value(x: Any) -> str:
    return f"{round(float(x), 1) + 0.0:g}" if isinstance(x, int | float) or hasattr(x, "dtype") else escape(str(x))


# ---------------------------------------------------------------- the controls

def slider(name: str, label: str, low: float, high: float, step: float, value: float, digits: int = 2,
           log: bool = False) -> str:
    """A slider; with `log` it holds the power of ten, and shows and means the number."""
    means, power = (10.0 ** value, ' data-log="1"') if log else (value, "")
    return (f'<div><label for="{{id}}-{name}">{label}</label><output for="{{id}}-{name}" aria-live="off">'
            f'{shown(means, digits)}</output><input type="range" id="{{id}}-{name}" name="{name}" min="{low:g}" '
            f'max="{high:g}" step="{step:g}" value="{value:g}" data-digits="{digits}"{power}></div>')


def number(name: str, label: str, low: int, high: int, value: int) -> str:
    """A whole number to type, such as a seed."""
    return (f'<div class="w-short"><label for="{{id}}-{name}">{label}</label><input type="number" id="{{id}}-{name}" '
            f'name="{name}" min="{low}" max="{high}" step="1" value="{value}"></div>')


def text(name: str, label: str, value: str, most: int) -> str:
    """A line to write in."""
    return (f'<div><label for="{{id}}-{name}">{label}</label><input type="text" id="{{id}}-{name}" name="{name}" '
            f'value="{escape(value)}" maxlength="{most}" autocomplete="off" spellcheck="false"></div>')


def choice(name: str, label: str, options: Mapping[str, str]) -> str:
    """One of several; the first to begin with."""
    inside = "".join(f'<option value="{escape(key)}">{escape(text)}</option>' for key, text in options.items())
    return (f'<div><label for="{{id}}-{name}">{label}</label>'
            f'<select id="{{id}}-{name}" name="{name}">{inside}</select></div>')


def box(name: str, label: str) -> str:
    """Yes or no; no to begin with."""
    return (f'<div class="w-box"><input type="checkbox" id="{{id}}-{name}" name="{name}">'
            f'<label for="{{id}}-{name}">{label}</label></div>')


def button(label: str, **settings: Any) -> str:
    """A button that sets controls to these values."""
    return f'<button type="button" data-set="{escape(json.dumps(settings))}">{label}</button>'


def step(label: str, along: str, by: int) -> str:
    """A button that moves a slider."""
    return f'<button type="button" data-along="{along}" data-by="{by}">{label}</button>'


def play(label: str, along: str, by: int, every: int) -> str:
    """A button that moves a slider every so many milliseconds, until it is pressed again or the end is there."""
    return (f'<button type="button" data-along="{along}" data-by="{by}" data-every="{every}" aria-pressed="false">'
            f'{label}</button>')


def buttons(*of: str) -> str:
    """Some of them in a row."""
    return f'<div class="w-buttons">{"".join(of)}</div>'


# ---------------------------------------------------------------- the whole

def figure(name: str, title: str, text: str, picture: Iterable[str], height: int, controls: Iterable[str], said: str,
           data: Any, below: str = "") -> str:
    """The HTML of one figure.

    name      of the widget
    title     what it is; text: what to do with it and what to look for
    picture   elements of the drawing, which is WIDTH times height units
    controls  hidden until the script runs, and on paper
    said      the sentence with the numbers, read aloud when it changes
    data      for the script
    below     more HTML, under all of it
    """
    packed = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    panel = "".join(controls).replace("{id}", f"w-{name}")
    return (
        f'<figure class="widget" id="widget-{name}" data-widget="{name}" aria-labelledby="w-{name}-title">'
        f'<figcaption><strong id="w-{name}-title">{title}</strong> {text}</figcaption>'
        f'<div><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="w-{name}-title w-{name}-said">'
        f'{"".join(picture)}</svg>'
        f'<p class="w-said" id="w-{name}-said" data-k="said" role="status">{escape(said)}</p></div>'
        f'<div class="w-panel" hidden>{panel}</div>{below}'
        f'<script type="application/json">{packed}</script></figure>')

