"""The course: a front page with the map, a page a chapter, a page a document, the formulas, words and findings.

What is written by hand stands in chapter_1.html to chapter_8.html.  Everything else, the rungs, the numbers, the
derivations and the index of the search, is put where it belongs by the tables here and in ladder.py.
"""
import contextlib
import html.parser
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from rlscratch.documents import DOCUMENTS
from rlscratch.documents.entry import Entry
from rlscratch.documents.ledger import LedgerRow
from rlscratch.formulas import distribution
from rlscratch.report import equations, glossary, widgets
from rlscratch.report.tour import books, ladder, library, page, pictures, rosetta
from rlscratch.report.tour.ladder import Result, Rung
from rlscratch.report.tour.library import Derivation
from rlscratch.report.tour.questions import Question

PACE = 200              # words a minute
APPENDIX = [(f"document-{number}.html", f"Document {number}") for number in DOCUMENTS] + [
    ("formulas.html", "Formulas"), ("questions.html", "Findings"), ("words.html", "Words and letters")]

SECTION = re.compile(r'<section id="([\w-]+)" aria-labelledby="[\w-]+"[^>]*>\s*<h2[^>]*>(.*?)</h2>')
KINDS = ("chapter", "word", "section", "exercise", "example", "finding", "formula", "document")   # of the search

# Each chapter's question; the modules whose derivations it has; its exercises.  A module that none names is told in
# "Beyond".
ABOUT = {
    "Sampling": ("Where do a model’s words come from?", ("distribution", "best_of_n", "waiting"), (1, 2, 20)),
    "Values and exploration": ("What is a step worth if the reward comes later?", (
        "td", "returns", "exploration", "process"), (3, 4, 5, 17)),
    "Policy gradients": ("How can a reward change a probability?", ("policy_gradient", "weights"), (6, 8)),
    "PPO, GRPO and KL": ("How far may one batch of answers move the model?", (
        "ppo", "grpo", "kl", "trust_region", "group", "surrogates", "off_policy"), (7, 9, 10, 11, 18, 19)),
    "Language models": ("What makes the row of probabilities?", ("cross_entropy", "distillation"), (14, 15, 16)),
    "Preferences and RLHF": ("How does a model learn what people want?", (
        "preference", "pairs", "annotators"), (12, 13)),
    "Beyond": ("What if the action is a number, a thought, a tool?", ("continuous",), (21,)),
    "The referee": ("Whom to trust when two pages disagree?", ("standard_error",), (22,))}


@dataclass(frozen=True)
class Chapter:
    """A chapter on the map: its number from 1, its name, its question, and minutes of reading, once they are known."""

    number: int
    name: str
    question: str
    minutes: int = 0

    @property
    def file(self) -> str:
        """Its page."""
        return f"{self.number}-{page.slug(self.name)}.html"


CHAPTERS = [Chapter(i, name, ABOUT[name][0]) for i, name in enumerate(ladder.CHAPTERS, 1)]


def build(rows: Sequence[LedgerRow], results: Sequence[Result], hint: str = "", reference: str = "",
          questions: Sequence[Result] = (), moving: Mapping[str, str] | None = None) -> dict[str, str]:
    """Every file of the course, by its name.

    rows       of the ledger (documents.ledger.table), in reading order
    results    of the ladder (ladder.run_all), in its order
    hint       what a reader should know of the rungs that were not run
    reference  address of the API reference from the page; "" if it is not there
    questions  results of the findings (questions.shipped), if they are there
    moving     figures that move which are made already, by their names (moving.shipped)
    """
    entries = [row.entry for row in rows]
    shelf = library.derivations(entries, [result.rung for result in [*results, *questions]])
    known = {
        "rows": rows, "by_id": {row.entry.id: row for row in rows}, "results": results, "questions": questions,
        "hint": hint, "reference": reference, "about": page.about(), "all": shelf, "ran": len(results),
        "signs": books.SIGNS, "meanings": books.MEANINGS, "kinds": books.APART, "appendix": _appendix(rows, questions),
        "counts": books.counted(rows, books.MEANINGS), "apart": books.counted(rows, books.APART),
        "documents": books.documents(rows, results), "terms": glossary.TERMS, "first": first_example(),
        "symbols": [*glossary.SYMBOLS, *glossary.LOCAL], "pictures": pictures,
        "anchors": {f"{f.module}.{f.name}": _formula(f) for d in shelf for f in d.formulas},
        "failed": [row for row in rows if row.complaints],
        "rosetta": rosetta.tables(), "fragments": moving or {},
        "broken": [result for result in [*results, *questions] if result.error],
        "index": page.safe(_index(rows, results, questions, shelf))}
    return _pages(known)


def _pages(known: Mapping[str, Any]) -> dict[str, str]:
    """Chapters first, for the map tells how long they take."""
    made, chapters = {}, []
    for chapter in CHAPTERS:
        mine = {**known, "chapter": chapter, "shelf": derived(known["all"], chapter),
                "rungs": chaptered(known["results"], chapter), "exercises": exercises(chapter), "moving": True}
        source = _render(f"chapter_{chapter.number}.html", chapter.file, chapter.name, mine)
        minutes, first = reading(source)
        chapters.append(replace(chapter, minutes=minutes))
        said = f"{minutes} minute{'s' * (minutes > 1)} to read" + (
            f", {first} to the first insight" if first < minutes else "")
        made[chapter.file] = source.replace("@@MINUTES@@", said)
    known = {**known, "chapters": chapters, "shelf": known["all"], "moving": False}
    made["index.html"] = _render("index.html", "index.html", "Reinforcement learning for language models", known)
    for document in known["documents"]:
        file = f"document-{document.number}.html"
        made[file] = _render("document.html", file, f"Document {document.number}", {**known, "document": document})
    for file, title in known["appendix"][-3:]:
        if not file.startswith("document"):
            made[file] = _render(file, file, title, known)
    return made | {name: page.read(name) for name in ("course.css", "course.js", "theme.js")} | {
        "widgets.js": widgets.script(), "widgets.css": widgets.style()}


@cache
def _templates() -> jinja2.Environment:
    """Those of the course: compiled once."""
    made = page.environment()
    made.filters.update({
        "href": _href, "steps": steps, "equations": _equations, "titled": _titled, "derived": derived,
        "home": lambda d: f"{home(d).file}#{page.slug(d.module)}"})
    return made


def _render(template: str, file: str, title: str, known: Mapping[str, Any]) -> str:
    """One page, with a list of its own sections in the contents."""
    known = {"chapters": CHAPTERS, **known, "file": file, "title": title, "names": {}}
    found = _templates().get_template(template).render(known | _tools(known))
    tips = glossary.tips()
    told = {place: tips[int(place)] for place in re.findall(r'data-tip="(\d+)"', found)}
    return found.replace("@@SECTIONS@@", _sections(found)).replace("@@TIPS@@", _data(told))


def _data(found: Any) -> str:
    """As JSON that ends no <script> that holds it."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _tools(known: Mapping[str, Any]) -> dict[str, Any]:
    """What the chapters call: {{ eq("ppo", 3) }}, {{ code('...') }}, {{ numbers("S2.ratio") }}, and so on."""
    macros, rows = _templates().get_template("macros.html").make_module(known), known["by_id"]
    made = known["fragments"]
    examples = {result.rung.number: _href(result.rung) for result in known["results"]}
    findings = {result.rung.name: _href(result.rung) for result in known["questions"]}
    derived_at = {d.name: f"{home(d).file}#d-{d.name}" for d in known["all"]}
    documents = {row.entry.document: _href(row.entry).partition("#")[0] for row in known["rows"]}

    def code(source: str) -> str:
        return page.safe(f'<pre class="code"><code>{page.safe.escape(source.strip(chr(10)))}</code></pre>'
                         f'<pre class="said">{page.safe.escape(printed(source, known["names"]))}</pre>')

    return {
        "macros": macros, "code": code, "sections": lambda: page.safe("@@SECTIONS@@"),
        "widget": lambda name: page.safe(made[name] if name in made else widgets.fragment(name)),
        "eq": lambda module, n: macros.equation(_link(derived_at[module], f"{module} ({n})"),
                                                page.safe(equations.mathml(module, n))),
        "numbers": lambda *ids: macros.numbers([rows[i] for i in ids if i in rows]),
        "example": lambda n, said="example": _link(examples.get(n, ""), f"{said} {n:02d}"),
        "finding": lambda name: _link(findings.get(name, ""), "a finding"),
        "book": lambda number: _link(documents.get(number, ""), f"Document {number}"),
        "picture": lambda name: page.safe(getattr(pictures, name)()),
        "term": lambda said, word="": page.safe(
            f'<a class="term" href="words.html#{page.slug(word or said)}">{said}</a>')}


def unmade(result: Result) -> str:
    """What stands in the place of a figure that could not be made."""
    return page.safe('<pre class="said failed">{}: {}</pre>').format(result.rung.name, result.error)


def printed(source: str, names: dict[str, Any]) -> str:
    """What a snippet prints; `names` holds what those before it defined."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(source.strip("\n"), "snippet", "exec"), names)
    return said.getvalue().rstrip("\n")


# ---------------------------------------------------------------- where things stand

def chapter_of(name: str) -> Chapter:
    """The chapter of that name."""
    return next(chapter for chapter in CHAPTERS if chapter.name == name)


def home(derivation: Derivation) -> Chapter:
    """The chapter that has the derivation."""
    homes = (name for name, (_, modules, _) in ABOUT.items() if derivation.name in modules)
    return chapter_of(next(homes, ladder.BEYOND))


def derived(shelf: Iterable[Derivation], chapter: Chapter) -> list[Derivation]:
    """The derivations of a chapter, in its order; those that no chapter names come last."""
    order = ABOUT[chapter.name][1]
    return sorted((d for d in shelf if home(d).number == chapter.number),
                  key=lambda d: order.index(d.name) if d.name in order else len(order))


def chaptered(results: Iterable[Result], chapter: Chapter) -> list[Result]:
    """The results of a chapter's rungs, in its order."""
    found = {result.rung.name: result for result in results}
    rungs = ladder.in_chapter([result.rung for result in found.values()], str(chapter.number))
    return [found[rung.name] for rung in rungs]


def _titled(exercise: str) -> str:
    """The first words of an exercise."""
    return (ladder.ROOT / exercise).read_text("utf-8").removeprefix('"""').partition(":")[0]


def exercises(chapter: Chapter) -> list[str]:
    """The files of a chapter's exercises, where they stand beside the package."""
    wanted = ABOUT[chapter.name][2]
    files = sorted((ladder.ROOT / "exercises").glob("[0-9][0-9]_*.py"))
    return [f"exercises/{file.name}" for file in files if int(file.name[:2]) in wanted]


def _href(thing: Rung | Entry) -> str:
    if isinstance(thing, Question):
        return f"questions.html#{thing.name}"
    if isinstance(thing, Rung):
        return f"{chapter_of(ladder.chapter_of(thing)).file}#{thing.name}"
    return f"document-{thing.document}.html#{page.slug(thing.id)}"


def _link(address: str, said: str) -> str:
    """The words as a link, or alone where there is no address."""
    return page.safe(f'<a href="{address}">{said}</a>') if address else said


def _formula(formula: library.Formula) -> str:
    derivation = Derivation(formula.module, "", "", ())
    return f"{home(derivation).file}#{formula.anchor}"


def _appendix(rows: Iterable[LedgerRow], questions: Sequence[Result]) -> list[tuple[str, str]]:
    there = {f"document-{row.entry.document}.html" for row in rows} | {"formulas.html", "words.html"}
    return [(file, name) for file, name in APPENDIX if file in there or (questions and file == "questions.html")]


# ---------------------------------------------------------------- equations

def _equations(formula: library.Formula) -> list[tuple[str, str]]:
    """Those that a function computes, by its docstring: module and number, and the equation."""
    return [(f"{module} ({n})", page.safe(equations.mathml(module, n))) for module, n in formula.equations
            if n in equations.EQUATIONS.get(module, {})]


def steps(derivation: Derivation) -> list[tuple[str, Any]]:
    """A derivation as paragraphs, typeset equations, and blocks that stay as they are."""
    return [_step(part, derivation.name) for part in page.paragraphs(derivation.text)]


def _step(part: str, module: str) -> tuple[str, Any]:
    known = equations.EQUATIONS.get(module, {})
    if not part.startswith("    "):
        plain = "\n  " not in part or part.startswith(("Source", "Leaves out"))
        return ("text" if plain else "block"), part
    named = [int(n) for n in re.findall(r"\((\d+)\)(?: *\n| *$|   )", part + "\n")]
    if named and set(named) <= known.keys():
        return "equations", [(n, page.safe(equations.mathml(module, n))) for n in named]
    return "block", part


# ---------------------------------------------------------------- reading, searching

class _Words(html.parser.HTMLParser):
    """Words of the main part that are read, code and tables among them: not what is folded, drawn, or a formula."""

    SKIPPED = ("details", "svg", "math", "script", "style", "footer")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.depth, self.count, self.first, self.ended = 0, 0, 0, False
        self.feed(source.split('<main id="main">')[1].split("</main>")[0])

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.depth += tag in self.SKIPPED

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in self.SKIPPED
        if tag == "section" and not self.first:
            self.first = self.count

    def handle_data(self, data: str) -> None:
        if not self.depth:
            self.count += len(data.split())


def reading(source: str) -> tuple[int, int]:
    """Minutes that a page takes without what is folded, and minutes to the end of its first section; at least 1."""
    words = _Words(source)
    return max(1, round(words.count / PACE)), max(1, round(words.first / PACE))


def _sections(source: str) -> str:
    found = SECTION.findall(source)
    return "<ol>" + "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in found) + "</ol>"


def _index(*stock: Any) -> str:
    """What the search of a page looks through, as JSON: [[file, [[kind, title, anchor, words], ...]], ...]."""
    by_file: dict[str, list] = {}
    for kind, title, address, words in _found(*stock):
        file, _, anchor = address.partition("#")
        by_file.setdefault(file, []).append([KINDS.index(kind), title, anchor, words])
    return _data(list(by_file.items()))


def _found(rows: Iterable[LedgerRow], results: Iterable[Result], questions: Iterable[Result],
           shelf: Iterable[Derivation]) -> Iterable[tuple[str, str, str, str]]:
    """All that can be found: kind, title, address, and words that stand for it."""
    yield "section", "Install and run", "index.html#run", "start setup python exercises syllabus teacher class"
    for chapter in CHAPTERS:
        yield "chapter", f"{chapter.number} {chapter.name}", chapter.file, chapter.question
        for anchor, title in SECTION.findall(page.read(f"chapter_{chapter.number}.html")):
            if anchor != "try":
                yield "section", title, f"{chapter.file}#{anchor}", ""
        for file in exercises(chapter):
            yield "exercise", f"{file[10:12]} {_titled(file)}", f"{chapter.file}#next", file[13:-3].replace("_", " ")
    for name, _, _ in rosetta.tables():
        yield "section", f"What options of {name} mean", f"{chapter_of('The referee').file}#libraries", ""
    for term in glossary.TERMS:
        yield "word", term.word, f"words.html#{page.slug(term.word)}", term.also
    for result in results:
        yield "example", result.rung.label, _href(result.rung), result.rung.title.partition(": ")[2]
    for result in questions:
        yield "finding", result.rung.title, _href(result.rung), ""
    for derivation in shelf:
        for formula in derivation.formulas:
            yield "formula", f"{derivation.name}.{formula.name}", _formula(formula), ""
    sections = dict.fromkeys((row.entry.document, row.entry.section) for row in rows)
    for document in dict.fromkeys(document for document, _ in sections):
        yield "document", f"{document} {DOCUMENTS[document]}", f"document-{document}.html", ""
    for document, section in sections:
        yield "document", f"{document}: {section}", f"document-{document}.html#{page.slug(section)}", ""


def first_example() -> dict[str, Any]:
    """One step of training on "I like ice ___", by the house's formulas."""
    rewards, logits, step = pictures.REWARDS, np.zeros(3), 0.1
    gradient = distribution.expected_reward_grad(logits, rewards)
    before, after = distribution.softmax(logits), distribution.softmax(logits + step * gradient)
    worth = [distribution.expected_reward(p, rewards) for p in (before, after)]
    return {"lines": list(zip(pictures.CREAM, rewards, before, gradient, after, strict=True)), "step": step,
            "before": worth[0], "after": worth[1]}


def write(folder: Path, pages: Mapping[str, str]) -> Path:
    """Put all files into a folder, the front page last; its path."""
    for name in sorted(pages, key=lambda name: name == "index.html"):
        page.write(folder / name, pages[name])
    return folder / "index.html"
