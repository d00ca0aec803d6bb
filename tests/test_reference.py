"""The API reference that `make docs` writes: everything public is on it, as it stands in the source."""
import html
import importlib
import importlib.util
import inspect
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("pdoc", reason="pdoc, which writes the reference, is not installed (the extra docs)")

pytestmark = pytest.mark.compiled_only("pages of the source, which is one for both backends")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference" / "build.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture(scope="module")
def folder(reference, tmp_path_factory):
    """The pages, their source in one colour: to colour it takes most of the time."""
    out = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reference.pdoc.render.env.filters, "highlight", lambda thing: html.escape(thing.source))
        reference.build(out)
    return out


class Page(HTMLParser):
    """The tags of a page, and what its docstrings look like."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.docstrings, self.inside = [], [], False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if (tag, "docstring") == (tag, dict(attributes).get("class")):
            assert tag == "pre"
            self.docstrings, self.inside = [*self.docstrings, ""], True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        if self.inside:
            self.docstrings[-1] += data

    def values(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


page = cache(Page)


def public(module):
    """What a module offers but other modules: the names in __all__, else the functions and classes defined in it."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    return [name for name, value in vars(module).items() if not name.startswith("_")
            and (inspect.isroutine(value) or inspect.isclass(value)) and value.__module__ == module.__name__]


def test_every_public_module_function_and_class_is_on_it_with_its_docstring_as_it_stands(reference, folder):
    modules = reference.modules()
    assert {"rlscratch.formulas.ppo", "rlscratch.mdp.process", "rlscratch.kernels.reference.gelu"} <= set(modules)
    for module in map(importlib.import_module, modules):
        shown = page(folder / (module.__name__.replace(".", "/") + ".html"))
        assert set(public(module)) <= set(shown.values("id")), module.__name__
        for thing in (module, *(getattr(module, name) for name in public(module))):
            if inspect.isroutine(thing) or inspect.isclass(thing) or thing is module:
                assert not thing.__doc__ or inspect.getdoc(thing) in shown.docstrings, (module.__name__, thing)


def test_a_signature_says_arraylike_and_not_what_it_stands_for(folder):
    text = re.sub("<[^>]*>", "", (folder / "rlscratch" / "formulas" / "kl.html").read_text("utf-8"))
    assert "logp_policy: ArrayLike" in text and "query_probs: ArrayLike | None = None" in text
    assert "numpy.generic" not in text


def test_nothing_is_fetched_and_every_link_within_it_arrives(folder):
    for path in folder.rglob("*.html"):
        shown, source = page(path), path.read_text("utf-8")
        assert not {tag for tag, _ in shown.tags} & {"script", "link", "iframe"}, path
        assert all(value.startswith("data:") for value in shown.values("src")), path
        assert not re.search(r"@import|url\((?!['\"]?data:|#|\\)", source), path
        for link in shown.values("href"):
            if link and not link.startswith(("#", "https://pdoc.dev")):
                assert (path.parent / link.partition("#")[0]).is_file(), (path, link)
