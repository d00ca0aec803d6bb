"""What a script printed, taken apart: tables as tables, everything else as the lines that it is.

A table is what report/table.py prints: a line of names, a line of dashes, rows.  On a page its cells can then stand
below each other where the screen is narrow.
"""
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

SLIM = 44           # characters that a narrow screen has room for


@dataclass(frozen=True)
class Table:
    """Names and cells; `numeric` says of each column whether it has numbers alone, `slim` whether all fits a phone."""

    headers: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    slim: bool


def parts(text: str) -> Iterator[Table | str]:
    """The tables and, between them, the lines of an output, in order.

    >>> [type(part).__name__ for part in parts("so:\\n\\nword  p\\n----  ---\\nice   0.5\\n\\nend")]
    ['str', 'Table', 'str']
    """
    lines, plain, at = text.split("\n"), [], 0
    while at < len(lines):
        if at + 1 < len(lines) and lines[at].strip() and re.fullmatch(r" *-+(  +-+)* *", lines[at + 1]):
            spans = _spans(lines[at + 1])
            end = at + 2
            while end < len(lines) and _is_row(lines[end], spans):
                end += 1
            if len(spans) > 1 and end > at + 2:
                if said := "\n".join(plain).strip("\n"):
                    yield said
                yield _table(lines[at], lines[at + 2:end], spans)
                plain, at = [], end
                continue
        plain.append(lines[at])
        at += 1
    if said := "\n".join(plain).strip("\n"):
        yield said


def _spans(dashes: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer("-+", dashes)]


def _is_row(line: str, spans: list[tuple[int, int]]) -> bool:
    """Nothing stands between the columns; behind the last one there may be more."""
    gaps = [line[end:start] for (_, end), (start, _) in pairwise(spans)]
    return bool(line.strip()) and not any(gap.strip() for gap in gaps)


def _table(names: str, rows: list[str], spans: list[tuple[int, int]]) -> Table:
    spans = [*spans[:-1], (spans[-1][0], 10 ** 6)]
    cells = [[line[start:end].strip() for start, end in spans] for line in [names, *rows]]
    numeric = [all(re.fullmatch(r"[-+−]?[\d.,]*[%*x]?|-", row[i]) for row in cells[1:]) for i in range(len(spans))]
    return Table(cells[0], cells[1:], numeric, max(map(len, [names, *rows])) <= SLIM)
