"""The ledger: every worked number of the documents, printed beside computed.

    python -m rlscratch ledger --document 002 --verdict differs --kind computed --json

The rows come from documents.entries(), computed when the table is built.  As text each document
is a block, and a number that differs or hangs on a convention has its note under it; below all
stands how many entries of each kind have which verdict.  As JSON the last line on standard
output is one object: `entries`, `counts` (kind -> verdict -> how many), `failed`.
"""
import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from rlscratch.documents import DOCUMENTS, entries
from rlscratch.documents.entry import KINDS, VERDICTS, Entry, Value

COLUMNS = {"id": 26, "verdict": 10, "printed": 22, "computed": 22, "formula": 32}
GAP = "  "
WIDTH = sum(COLUMNS.values()) + len(GAP) * (len(COLUMNS) - 1)


@dataclass(frozen=True)
class LedgerRow:
    """An entry with the value that its formula gave just now, and what is wrong with it, if anything."""

    entry: Entry
    computed: Value
    complaints: list[str]


def table(document: str | None = None, verdict: str | None = None, kind: str | None = None,
          among: Iterable[Entry] | None = None) -> list[LedgerRow]:
    """The entries that pass every filter that is given, computed, in reading order.

    >>> [row.entry.id for row in table(document="003", verdict="differs", kind="computed")]
    ['S3.softmax.T1', 'S3.update.final', 'S3.ifeel.topp']
    """
    wanted = {"document": document, "verdict": verdict, "kind": kind}
    return [LedgerRow(entry, entry.computed(), entry.complaints()) for entry in (entries() if among is None else among)
            if all(value in (None, getattr(entry, name)) for name, value in wanted.items())]


def as_text(rows: list[LedgerRow]) -> str:
    """The rows as blocks of lines at most WIDTH long, a document each, and the totals."""
    lines: list[str] = []
    for document, title in DOCUMENTS.items():
        block = [row for row in rows if row.entry.document == document]
        if block:
            heading = " ".join((f"document {document}", title))
            lines += [heading, "=" * len(heading), _line({name: name for name in COLUMNS}), ""]
            lines += [line for row in block for line in _row_lines(row)] + [""]
    failed = sum(bool(row.complaints) for row in rows)
    return "\n".join([*lines, *_totals(rows), "", *wrap(f"{headline(rows)} {failed} failed.", WIDTH)])


def as_dict(rows: list[LedgerRow]) -> dict[str, Any]:
    """The same as data that JSON can hold; tuples become lists."""
    fields = ("id", "document", "section", "claim", "formula", "printed", "exact", "tolerance", "verdict", "kind",
              "source", "proof", "note")
    return {
        "entries": [{**{name: getattr(row.entry, name) for name in fields},
                     "computed": row.computed, "holds": not row.complaints} for row in rows],
        "counts": {kind: dict(verdicts) for kind, verdicts in counts(rows).items()},
        "failed": {row.entry.id: row.complaints for row in rows if row.complaints},
    }


def counts(rows: Iterable[LedgerRow]) -> dict[str, Counter]:
    """How many rows of each kind have which verdict; kinds and verdicts in their order, none that has no row."""
    found = Counter((row.entry.kind, row.entry.verdict) for row in rows)
    return {kind: Counter({verdict: found[kind, verdict] for verdict in VERDICTS if found[kind, verdict]})
            for kind in KINDS if any(kind == one for one, _ in found)}


def headline(rows: Iterable[LedgerRow]) -> str:
    """How many numbers a formula computed and how they compare with the printed ones; then everything else.

    >>> headline(table(document="001"))
    'A formula computed 0 of 4 numbers. The others: 1 input, 3 statement.'
    """
    by_kind = counts(rows)
    numbers, computed = sum(kind.total() for kind in by_kind.values()), by_kind.pop("computed", Counter())
    said = f"A formula computed {computed.total()} of {numbers} numbers"
    if computed:
        of = {verdict: computed[verdict] for verdict in VERDICTS}
        said += (f": {of['derived']} that no document prints; of the others {of['exact']} agree exactly, "
                 f"{of['rounds']} after rounding, {of['convention']} under one convention, {of['differs']} not")
    others = ", ".join(f"{verdicts.total()} {kind}" for kind, verdicts in by_kind.items())
    return f"{said}. The others: {others}." if others else f"{said}."


def shown(value: Value, decimals: int = 0) -> str:
    """A value as the table has it: at most six decimals and at least those of the print; a dash for nothing.

    >>> shown(0.951, decimals=4), shown((1.0, 1 / 3)), shown(None), shown(True)
    ('0.9510', '1, 0.333333', '-', 'yes')
    """
    if isinstance(value, tuple):
        return ", ".join(shown(v, decimals) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return max(f"{value:.{decimals}f}", f"{value:.6f}".rstrip("0").rstrip("."), key=len)
    return "-" if value is None else str(value)


def decimals_of(entry: Entry) -> int:
    """How many decimals the document prints: tolerance is half a unit of the last."""
    return 0 if entry.tolerance == 0 else max(0, round(-math.log10(2 * entry.tolerance)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m rlscratch ledger`."""
    parser.description = "Every worked number of the five documents: printed, computed, verdict."
    parser.add_argument("--document", choices=tuple(DOCUMENTS), help="one document only")
    parser.add_argument("--verdict", choices=VERDICTS, help="one verdict only",
                        type=lambda word: {"WRONG": "differs"}.get(word, word))      # what it was once called
    parser.add_argument("--kind", choices=KINDS, help="one kind of entry only")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line instead of the table")


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 if every entry in it holds, else 1."""
    rows = table(args.document, args.verdict, args.kind)
    print(json.dumps(as_dict(rows), ensure_ascii=False) if args.json else as_text(rows))
    failed = [row.entry.id for row in rows if row.complaints]
    if failed:
        print(f"ledger: {len(failed)} entries do not hold ({', '.join(failed[:5])}); "
              "run the tests of their formulas, named under \"proof\" with --json", file=sys.stderr)
    return 1 if failed else 0


def _row_lines(row: LedgerRow) -> list[str]:
    entry = row.entry
    cells = {"id": entry.id, "verdict": entry.verdict, "printed": shown(entry.printed, decimals_of(entry)),
             "computed": shown(row.computed), "formula": entry.formula}
    lines = [_line(cells)]
    remarks = [entry.note] if entry.verdict in ("differs", "convention") else []
    for remark in remarks + [f"FAILED: {complaint}" for complaint in row.complaints]:
        lines += [4 * " " + line for line in wrap(remark, WIDTH - 4)]
    return lines


def _totals(rows: list[LedgerRow]) -> list[str]:
    """The kinds by their verdicts, as lines of a table."""
    lines = [("kind", *VERDICTS, "all")]
    lines += [(kind, *(of[verdict] or "" for verdict in VERDICTS), of.total()) for kind, of in counts(rows).items()]
    return [f"{kind:<13}" + "".join(f"{cell:>12}" for cell in cells) for kind, *cells in lines]


def _line(cells: dict[str, str]) -> str:
    """One row of the table; cells that are too long go on in the lines below."""
    columns = [wrap(cells[name], width) or [""] for name, width in COLUMNS.items()]
    height = max(map(len, columns))
    filled = [[*column, *[""] * (height - len(column))] for column in columns]
    return "\n".join(
        GAP.join(part.ljust(width) for part, width in zip(parts, COLUMNS.values(), strict=True)).rstrip()
        for parts in zip(*filled, strict=True))
