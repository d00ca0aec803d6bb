"""The page: what the documents claim beside what the formulas give, the ladder, the derivations.

One file that needs nothing else: style, script and figures are inside, and its own content security
policy forbids the browser to fetch anything.  The script only filters and switches the colours; the
page is whole without it.
"""
import base64
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import rlscratch
from rlscratch import kernels
from rlscratch.documents import DOCUMENTS
from rlscratch.documents.entry import VERDICTS, Value
from rlscratch.documents.errata import Finding, errata
from rlscratch.documents.ledger import LedgerRow, decimals_of, shown
from rlscratch.files import write_atomic
from rlscratch.formulas import distribution, policy_gradient
from rlscratch.report.tour import library
from rlscratch.report.tour.ladder import Figure, Result
from rlscratch.report.tour.library import Derivation

# A verdict is told by sign and word, never by colour alone.
SIGNS = {"exact": "=", "rounds": "≈", "convention": "±", "differs": "≠", "derived": "→"}
MEANINGS = {
    "exact": "the formula gives the printed number",
    "rounds": "it gives it to the last printed digit",
    "convention": "it does under one choice and not under another; the note names both",
    "differs": "it gives another; where some assumption gives the printed one, the note names it",
    "derived": "the document prints none: its own numbers, carried one step further",
}
# What is no number that a formula computed, and is counted by its kind instead.
APART = {
    "restated": "it could hardly be otherwise: a row adds to 1, a zero stays zero",
    "input": "a parameter that the examples run with",
    "statement": "a formula or a range, as the document writes it",
    "drawing": "how long a bar is, beside its label",
    "quoted": "what a model said, which the document shows and does not claim",
    "run-dependent": "where one training run had come to, beside what holds of every run",
}

# The findings that teach most come first: a teacher's choice.  The rest follow by what they are about.
FIRST = (
    "S3.softmax.T1", "S2.clip.objective", "S4.baseline.bias.T1", "S3.update.final", "S2.grpo.mean", "S3.ifeel.topp")

# A short way through the ladder for a first visit.
SHORT_WAY = (
    ("01_sampling_and_rollouts", "what a policy is"), ("02_temperature_top_k_top_p", "how its answers are drawn"),
    ("04_frozen_lake_exact", "what values are"), ("07_log_derivative_trick", "how rewards become a gradient"),
    ("10_why_a_baseline", "why one subtracts an average"), ("11_ppo_ice_cream", "why one clips"),
    ("12_grpo_ice_cream", "how a group replaces the value estimate"), ("09_leak_and_kl_brake", "what holds it back"))

MANY = 16           # a section with more entries than that folds those that need no attention


@dataclass(frozen=True)
class Block:
    """Entries of one section that stand in one table; `fold` is the line to unfold them by, "" for open ones."""

    rows: list[LedgerRow]
    fold: str = ""


@dataclass(frozen=True)
class Chapter:
    """One document: its sections in reading order, the derivations its numbers rest on, its rungs, its findings."""

    number: str
    title: str
    counts: Counter
    apart: Counter
    sections: list[tuple[str, list[Block]]]
    derivations: list[Derivation]
    results: list[Result]
    findings: list[Finding]


def build(rows: Sequence[LedgerRow], results: Sequence[Result], hint: str = "", reference: str = "",
          questions: Sequence[Result] = ()) -> str:
    """The page as HTML.

    rows       of the ledger (documents.ledger.table), in reading order
    results    of the ladder (ladder.run_all), in its order
    hint       where the ladder is to be found, if it was not run
    reference  address of the API reference from the page; "" if it is not there
    questions  results of the findings (questions.shipped), if they are there
    """
    entries = [row.entry for row in rows]
    shelf = library.derivations(entries, [result.rung for result in [*results, *questions]])
    found = [finding for finding in errata() if finding.document in {entry.document for entry in entries}]
    names = {result.rung.name: result.rung for result in results}
    return template().render(
        rows=rows, results=results, hint=hint, reference=reference, questions=questions, shelf=shelf,
        signs=SIGNS, meanings=MEANINGS, kinds=APART,
        documents=DOCUMENTS, counts=_counts(rows, VERDICTS), apart=_counts(rows, APART),
        chapters=[_chapter(number, rows, results, shelf, found) for number in DOCUMENTS
                  if any(entry.document == number for entry in entries)],
        parting=sorted((f for f in found if f.verdict == "differs"), key=lambda f: _weight(f, rows)),
        by_id={row.entry.id: row for row in rows}, anchors={f.module + "." + f.name: f.anchor
                                                            for d in shelf for f in d.formulas},
        short_way=[(names[name], why) for name, why in SHORT_WAY if name in names], first=_first_example(),
        symbols=rlscratch.__doc__, about=about(), failed=[row for row in rows if row.complaints],
        broken=[result for result in [*results, *questions] if result.error])


def write(path: Path, html: str) -> None:
    """Put the page at `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda part: part.write_text(html, "utf-8"))


# ---------------------------------------------------------------- what stands on it

def _chapter(number: str, rows: Iterable[LedgerRow], results: Iterable[Result], shelf: Iterable[Derivation],
             findings: Iterable[Finding]) -> Chapter:
    mine = [row for row in rows if row.entry.document == number]
    sections: dict[str, list[LedgerRow]] = {}
    for row in mine:
        sections.setdefault(row.entry.section, []).append(row)
    modules = {library.location(row.entry.source)[0] for row in mine}
    return Chapter(
        number, DOCUMENTS[number], _counts(mine, VERDICTS), _counts(mine, APART),
        [(name, list(_blocks(part))) for name, part in sections.items()],
        [derivation for derivation in shelf if derivation.module in modules],
        [result for result in results if number in cited(result.rung.lesson)],
        [f for f in findings if f.document == number and not f.ids])


def _blocks(rows: list[LedgerRow]) -> Iterator[Block]:
    """A short section as it is.  Of a long one, what agrees and what one training run left is folded."""
    if len(rows) <= MANY:
        yield Block(rows)
        return

    def fold(row: LedgerRow) -> str:
        if row.complaints:
            return ""
        if row.entry.kind == "run-dependent":
            return "values that one training run left unfinished"
        if row.entry.kind == "restated":
            return "that could hardly be otherwise"
        return "more that agree with the document" if row.entry.verdict in ("exact", "rounds") else ""

    for line, part in groupby(sorted(rows, key=fold), key=fold):        # sorting keeps the reading order within
        block = list(part)
        yield Block(block, f"{len(block)} {line}" if line else "")


def _counts(rows: Iterable[LedgerRow], names: Iterable[str]) -> Counter:
    """How many rows count as each of these verdicts or kinds, in their order."""
    counts = Counter(row.entry.counted for row in rows)
    return Counter({name: counts[name] for name in names})


def _weight(finding: Finding, rows: Iterable[LedgerRow]) -> tuple[int, ...]:
    """Where a finding stands: the chosen ones, then claims about algorithms, formulas, and maps."""
    chosen = [i for i, name in enumerate(FIRST) if name in finding.ids]
    if chosen:
        return 0, *chosen
    about = [2 if row.entry.source.startswith("rlscratch.formulas") else 3
             for row in rows if row.entry.id in finding.ids]
    return (max(about, default=1),)


def cited(lesson: str) -> set[str]:
    """The documents that a lesson names.

    >>> sorted(cited("Documents 000 and 004 disagree, and 002's table ..."))
    ['000', '002', '004']
    """
    return {number for number in re.findall(r"\b\d{3}\b", lesson) if number in DOCUMENTS}


def _first_example() -> dict[str, Any]:
    """One answer and one step on "I like ice ___", for the introduction: everything by the house's formulas."""
    words, rewards, logits, step = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0]), np.zeros(3), 0.1
    gradient = distribution.expected_reward_grad(logits, rewards)
    before, after = distribution.softmax(logits), distribution.softmax(logits + step * gradient)
    mean = distribution.expected_reward(before, rewards)
    drawn = 1
    advantage, score = rewards[drawn] - mean, policy_gradient.score(logits, drawn)
    nudged = distribution.softmax(logits + step * advantage * score)
    f = "rlscratch.formulas."
    chain = (
        ("prompt", "I like ice ___", ""),
        ("policy", _list(before), f + "distribution.softmax"),
        ("sampled answer", words[drawn], ""),
        ("reward", f"{rewards[drawn]:g}", ""),
        ("advantage: reward − average", f"{rewards[drawn]:g} − {mean:.2f} = {advantage:+.2f}",
         f + "distribution.expected_reward"),
        ("its score, ∇ log p", _list(score), f + "policy_gradient.score"),
        (f"policy after {step:g} · advantage · score", _list(nudged), f + "distribution.softmax"))
    return {"chain": chain, "lines": list(zip(words, rewards, before, gradient, after, strict=True)), "step": step,
            "before": mean, "after": distribution.expected_reward(after, rewards)}


def _list(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers).replace("-", "−")


def about() -> str:
    """What wrote a page."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"rlscratch {rlscratch.__version__}, {kernels.BACKEND} kernels, NumPy {np.__version__}, Python {python}"


# ---------------------------------------------------------------- how it is put

def template(package: str = __package__) -> jinja2.Template:
    """The page.html of a package, with this page's style, scripts and filters."""
    folder = files(__package__)
    # The page's own style and scripts are marked as safe; everything else is escaped.
    own = {name: jinja2.utils.markupsafe.Markup((folder / file).read_text("utf-8"))
           for name, file in (("css", "page.css"), ("js", "page.js"), ("theme", "theme.js"))}
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.globals.update(own)
    filters: dict[str, Callable] = {
        "printed": lambda row: shown(row.entry.printed, decimals_of(row.entry)),
        "computed": lambda row: shown(row.computed, _decimals(row)),
        "brief": _brief, "data": _data, "size": _size, "paragraphs": _paragraphs, "place": _place, "slug": _slug,
        "short": lambda rung: rung.title.split(":")[0]}
    environment.filters.update(filters)
    return environment.from_string((files(package) / "page.html").read_text("utf-8"))


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

    return shown(rounded(row.computed), decimals_of(row.entry))


def _data(figure: Figure) -> str:
    """A figure as an address that holds it: no file to lose, and no ids that clash with another's."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode("ascii")


def _size(figure: Figure) -> tuple[int, int]:
    """Width and height in pixels, so that nothing jumps; (0, 0) if the file does not say."""
    found = re.search(rb'<svg[^>]*?\bviewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', figure.svg)
    return (round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3)) if found else (0, 0)


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text.strip()) if part]


def _place(source: str) -> tuple[str, str]:
    """A dotted name as file and function; the name itself where it is not ours."""
    module, name = library.location(source)
    return (module.replace(".", "/") + ".py", name) if module.startswith("rlscratch") else ("", source)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
