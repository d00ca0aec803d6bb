"""Figures that move: each shows one idea with numbers of rlscratch, and lets the reader change them.

    fragment(name)  the HTML of one: a picture that also stands on paper, controls, its data as JSON
    script()        the JavaScript of all of them
    style()         the CSS of all of them

A widget is two files.  NAME.py computes what is shown with the formulas of rlscratch and draws the first picture;
NAME.js has the same arithmetic from formulas.js and moves the picture.  tests/test_widgets.py computes many settings
in both languages and compares.

Leaves out: colours of the page around them; they bring their own, for light and dark.
"""
import re
from importlib import import_module
from importlib.resources import files

from rlscratch import check

NAMES = ("sampling", "lake", "triangle", "clip", "group", "brake", "rlhf", "attention")
TRAINED = ("rlhf", "attention")         # these train a small model first, with a seed, for some seconds


def fragment(name: str) -> str:
    """One `<figure>`, for one place on a page.

    name  one of NAMES
    """
    check.one_of(NAMES, name=name)
    return import_module(f"{__name__}.{name}").fragment()


def script() -> str:
    """All widgets' JavaScript, without its comments: to be put into one script element, anywhere."""
    parts = ("formulas", "shared", *NAMES, "begin")
    source = "\n".join((files(__name__) / f"{part}.js").read_text("utf-8") for part in parts)
    return '(() => {\n"use strict";\n' + re.sub(r"^ *//.*\n|^ +|^\n", "", source, flags=re.M) + "})();\n"


def style() -> str:
    """All widgets' CSS."""
    return (files(__name__) / "style.css").read_text("utf-8")
