"""The documents as pages: their sections in reading order, what is folded, and the appendix of each."""
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from rlscratch.documents import DOCUMENTS
from rlscratch.documents.errata import Finding, errata
from rlscratch.documents.ledger import LedgerRow
from rlscratch.report.tour.ladder import Result

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

MANY = 16           # a section with more entries than that folds those that need no attention


@dataclass(frozen=True)
class Block:
    """Entries of one section that stand in one table; `fold` is the line to unfold them by, "" for open ones."""

    rows: list[LedgerRow]
    fold: str = ""


@dataclass(frozen=True)
class Document:
    """One document: its sections in reading order, its rungs, and where text and formula part."""

    number: str
    title: str
    counts: Counter
    apart: Counter
    sections: list[tuple[str, list[Block]]]
    results: list[Result]
    findings: list[Finding]


def documents(rows: Iterable[LedgerRow], results: Iterable[Result]) -> list[Document]:
    """Those that have a row, in their order."""
    rows, results, found = list(rows), list(results), errata()
    there = {row.entry.document for row in rows}
    return [_document(number, rows, results, found) for number in DOCUMENTS if number in there]


def _document(number: str, rows: Iterable[LedgerRow], results: Iterable[Result], found: Iterable[Finding]) -> Document:
    mine = [row for row in rows if row.entry.document == number]
    sections: dict[str, list[LedgerRow]] = {}
    for row in mine:
        sections.setdefault(row.entry.section, []).append(row)
    return Document(
        number, DOCUMENTS[number], counted(mine, MEANINGS), counted(mine, APART),
        [(name, list(_blocks(part))) for name, part in sections.items()],
        [result for result in results if number in cited(result.rung.lesson)],
        [one for one in found if one.document == number and (one.verdict == "differs" or not one.ids)])


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


def counted(rows: Iterable[LedgerRow], names: Iterable[str]) -> Counter:
    """How many rows count as each of these verdicts or kinds, in their order."""
    counts = Counter(row.entry.counted for row in rows)
    return Counter({name: counts[name] for name in names})


def cited(lesson: str) -> set[str]:
    """The documents that a lesson names.

    >>> sorted(cited("Documents 000 and 004 disagree, and 002's table ..."))
    ['000', '002', '004']
    """
    return {number for number in re.findall(r"\b\d{3}\b", lesson) if number in DOCUMENTS}
