"""Pages: how a template becomes HTML, and how a number, a name or a figure is put on it.

Style and scripts stand beside the pages or inside them, and a page's own content security policy forbids the browser
to fetch anything else.  A page is whole without its scripts.
"""
import re
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

import rlscratch
from rlscratch import kernels
from rlscratch.documents.entry import Value
from rlscratch.documents.ledger import LedgerRow, decimals_of, shown
from rlscratch.files import write_atomic
from rlscratch.report import equations
from rlscratch.report.tour import drawings, library, outputs

safe = jinja2.utils.markupsafe.Markup


SHARED = dict.fromkeys(("shell.html", "parts.html"), "rlscratch.report")    # of the pages of rlhf, life and runs


def write(path: Path, html: str) -> None:
    """Put the page at `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda part: part.write_text(html, "utf-8"))


def about() -> str:
    """What wrote a page."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"rlscratch {rlscratch.__version__}, {kernels.BACKEND} kernels, NumPy {np.__version__}, Python {python}"


def read(name: str, package: str = __package__) -> str:
    """A file of style, script or text that stands in a package."""
    return (files(package) / name).read_text("utf-8")


def environment(package: str = __package__) -> jinja2.Environment:
    """The templates of a package, with this package's style and filters."""
    # The page's own style and scripts are marked as safe; everything else is escaped.
    made = jinja2.Environment(loader=jinja2.FunctionLoader(lambda name: read(name, SHARED.get(name, package))),
                              autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.globals.update({name: safe(read(file)) for name, file in (("css", "course.css"), ("theme", "theme.js"))})
    filters: dict[str, Callable] = {
        "printed": lambda row: shown(row.entry.printed, decimals_of(row.entry)),
        "computed": lambda row: shown(row.computed, _decimals(row)),
        "brief": _brief, "paragraphs": paragraphs, "place": _place, "slug": slug,
        "prose": lambda text: safe(equations.prose(text)),
        "parts": lambda text: list(outputs.parts(text)),
        "inline": lambda figure, label: safe(drawings.inline(figure, label))}
    made.filters.update(filters)
    return made


def template(package: str = __package__) -> jinja2.Template:
    """The page.html of a package."""
    return environment(package).get_template("page.html")


def paragraphs(text: str) -> list[str]:
    """The parts between blank lines."""
    return [part for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]


def slug(text: str) -> str:
    """A text as part of an address."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _decimals(row: LedgerRow) -> int:
    """As many as the document prints; none to keep where it prints nothing or a formula."""
    return 0 if row.entry.printed is None or row.entry.kind == "statement" else decimals_of(row.entry)


def _brief(row: LedgerRow) -> str:
    """The computed value to two digits more than are printed."""
    decimals = min(6, decimals_of(row.entry) + 2)

    def rounded(value: Value) -> Value:
        if isinstance(value, tuple):
            return tuple(map(rounded, value))
        return round(value, decimals) if isinstance(value, float) else value

    return shown(rounded(row.computed), _decimals(row))


def _place(source: str) -> tuple[str, str]:
    """A dotted name as file and function; the name itself where it is not ours."""
    module, name = library.location(source)
    return (module.replace(".", "/") + ".py", name) if module.startswith("rlscratch") else ("", source)
