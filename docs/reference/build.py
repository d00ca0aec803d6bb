"""The API reference: a page for every public module, from its docstrings.   Run by: make docs

    python docs/reference/build.py FOLDER        writes FOLDER/index.html and what it leads to

pdoc reads the modules and lays out the pages; module.html.jinja2 says where ours differ.  Nothing on
them is fetched from anywhere.
"""
import inspect
import pkgutil
import sys
from pathlib import Path

import pdoc.doc
import pdoc.render
from pdoc.render_helpers import format_signature

import rlscratch
from rlscratch.check import ArrayLike


class Name(str):
    """An annotation that is shown as it is written."""

    __repr__ = str.__str__


NAMES = {ArrayLike: Name("ArrayLike"), ArrayLike | None: Name("ArrayLike | None")}


def modules() -> list[str]:
    """Names of all modules in which no part begins with an underscore."""
    found = pkgutil.walk_packages(rlscratch.__path__, "rlscratch.")
    return ["rlscratch", *(module.name for module in found if "._" not in module.name)]


def signature(given: inspect.Signature, colon: bool) -> str:
    """A signature as pdoc shows it, with ArrayLike instead of the union that it stands for."""
    parameters = [p.replace(annotation=NAMES.get(p.annotation, p.annotation)) for p in given.parameters.values()]
    return format_signature(given.replace(parameters=parameters), colon)


def build(folder: Path) -> None:
    """Write the pages."""
    pdoc.render.configure(template_directory=Path(__file__).parent, search=False)
    pdoc.render.env.filters["format_signature"] = signature
    shelf = {name: pdoc.doc.Module.from_name(name) for name in modules()}
    for name, module in shelf.items():
        page = folder / (name.replace(".", "/") + ".html")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(pdoc.render.html_module(module, shelf), "utf-8")
    (folder / "index.html").write_text(pdoc.render.html_index(shelf), "utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    print(f"the API reference is {Path(sys.argv[1], 'index.html')}")
