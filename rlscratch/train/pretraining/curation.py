"""Curation: from what a crawler brought home to a text that is worth learning from.

    url          pages of hosts that nobody wants are not even opened
    extraction   HTML to text, without menus, scripts, adverts at the side, footers        selectolax
    language     one language is kept: that of the text which is to be learned             py3langid
    duplicates   of pages that are nearly the same, the first is kept                      datasketch
    quality      too short, cut off, shouting, abusing, or full of signs that are no letters: dropped
    private      a sentence with a telephone or an address goes, the rest of its page stays

Nearly the same.  A page is the set of its runs of three words, and two sets A, B are as alike as

    J = |A and B| / |A or B|                                                                    (1)

A random order of all runs puts the same run first in A and in B with probability J: each run of A or B is as likely to
be the first of all, and a share J of them is in both.  So of `PERMUTATIONS` random orders about a share J agrees, and
a page is kept as a few numbers, not as its text.  Pages from J = `ALIKE` on count as the same one.

The order matters for the price: the cheap steps see all pages, the dear ones what is left.

Source: document 004, 2.1.1; Penedo et al. 2024, arXiv:2406.17557 (FineWeb: its steps and their order); Broder 1997
        (MinHash); Rae et al. 2021, arXiv:2112.11446 (rules of quality).
Leaves out: a model that grades pages; whole-line deduplication; names of people, who here are what is to be learned.
"""
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlscratch import check

BLOCKED = ("casino", "bets", "win-big")
LANGUAGE, LANGUAGES = "en", ("en", "de", "fr", "es")            # the one to keep, among those that are told apart
FRAME = ("script", "style", "nav", "aside", "footer", "title")  # what an extraction leaves out
PERMUTATIONS, ALIKE, RUN = 64, 0.7, 3
LEAST_WORDS, MOST_SHOUTS, LEAST_LETTERS = 12, 0.05, 0.75
ABUSE = frozenset(("idiot", "idiots", "moron", "stupid"))
PHONE = re.compile(r"\b\d{3}-\d{4}\b")
ADDRESS = re.compile(r"\b\d{1,3} [A-Z]\w+ (?:Street|Lane|Road|Way|Row|Square)\b")
SENTENCE = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True)
class Document:
    """A page on its way.

    url, text  where it is from; its HTML, and from extraction on what it says
    kind       the truth about it, where somebody knows; no step reads it
    """

    url: str
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Step:
    """What a step left.

    name       of the step; "crawled" for what there was before the first
    documents  that are left
    dropped    those that it took out, as they were before it
    changed    how many it kept and changed
    """

    name: str
    documents: list[Document]
    dropped: list[Document]
    changed: int = 0


def curated(documents: Sequence[Document]) -> list[Step]:
    """All steps, each on what the one before it left; the first entry is what there was.

    >>> kept = curated([Document("https://a.example/1", "<p>Ann Reed is a baker. You will find Ann Reed at the old "
    ...                          "mill. Ann Reed is 47 years old.</p>"), Document("https://casino.example/", "x")])
    >>> [(step.name, len(step.documents)) for step in kept]
    [('crawled', 2), ('url', 1), ('extraction', 1), ('language', 1), ('duplicates', 1), ('quality', 1), ('private', 1)]
    """
    documents = list(documents)
    check.positive(count=len(documents), called="the number of documents")
    steps = [Step("crawled", documents, [])]
    for name, apply in STEPS.items():
        steps.append(_step(name, steps[-1].documents, apply(steps[-1].documents)))
    return steps


def _step(name: str, before: Sequence[Document], after: Sequence[Document | None]) -> Step:
    kept = [(old, new) for old, new in zip(before, after, strict=True) if new is not None and new.text]
    dropped = [old for old, new in zip(before, after, strict=True) if new is None or not new.text]
    return Step(name, [new for _, new in kept], dropped, sum(old.text != new.text for old, new in kept))


# ---------------------------------------------------------------- the steps: documents -> each as it is left, or None

def wanted_hosts(documents: Sequence[Document]) -> list[Document | None]:
    """Those whose address holds no word of BLOCKED."""
    return [None if any(word in one.url for word in BLOCKED) else one for one in documents]


def extracted(documents: Sequence[Document]) -> list[Document | None]:
    """What the pages say, one line of text each."""
    return [replace(one, text=text_of(one.text)) for one in documents]


def text_of(page: str) -> str:
    """The text of a page of HTML.

    >>> text_of("<nav>Home</nav><p>Ann &amp; Ben  met.</p><script>track()</script>")
    'Ann & Ben met.'
    """
    from selectolax.lexbor import LexborHTMLParser
    tree = LexborHTMLParser(page)
    tree.strip_tags(list(FRAME))
    return " ".join(tree.text(separator=" ").split())


def in_language(documents: Sequence[Document]) -> list[Document | None]:
    """Those whose likeliest language among LANGUAGES is LANGUAGE."""
    import py3langid
    py3langid.set_languages([*LANGUAGES])
    return [one if py3langid.classify(one.text)[0] == LANGUAGE else None for one in documents]


def first_of_their_kind(documents: Sequence[Document]) -> list[Document | None]:
    """Those before which nothing came that was nearly the same."""
    from datasketch import MinHash, MinHashLSH
    index, kept = MinHashLSH(threshold=ALIKE, num_perm=PERMUTATIONS), []
    for number, one in enumerate(documents):
        words = one.text.lower().split()
        runs = [" ".join(words[i:i + RUN]).encode() for i in range(max(1, len(words) - RUN + 1))]
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch(runs)
        seen = index.query(sketch)
        kept.append(None if seen else one)
        if not seen:
            index.insert(number, sketch)
    return kept


def good(documents: Sequence[Document]) -> list[Document | None]:
    """Those that read like text."""
    return [one if is_good(one.text) else None for one in documents]


def is_good(text: str) -> bool:
    """Whether a text has words enough, ends as a sentence does, does not shout, abuses nobody, and is made of letters.

    >>> is_good("You will find Ann Reed at the old mill. By trade Ann Reed is a baker."), is_good("Buy now!!!")
    (True, False)
    """
    words = re.findall(r"\w+", text.lower())
    letters = sum(letter.isalnum() or letter.isspace() for letter in text)
    return (len(words) >= LEAST_WORDS and text[-1] in ".?" and text.count("!") <= MOST_SHOUTS * len(words)
            and not ABUSE & set(words) and letters >= LEAST_LETTERS * len(text) and "\ufffd" not in text)


def without_private(documents: Sequence[Document]) -> list[Document | None]:
    """All of them, without the sentences that hold a telephone or an address."""
    return [replace(one, text=public(one.text)) for one in documents]


def public(text: str) -> str:
    """The text without sentences that are nobody's business.

    >>> public("Ann Reed is a baker. Call Ann Reed at 555-0134. Ann Reed is 47 years old.")
    'Ann Reed is a baker. Ann Reed is 47 years old.'
    """
    return " ".join(one for one in SENTENCE.split(text) if not is_private(one))


def is_private(text: str) -> bool:
    """Whether a telephone or an address stands in it."""
    return bool(PHONE.search(text) or ADDRESS.search(text))


STEPS: dict[str, Callable[[Sequence[Document]], list[Document | None]]] = {
    "url": wanted_hosts, "extraction": extracted, "language": in_language, "duplicates": first_of_their_kind,
    "quality": good, "private": without_private}


# ---------------------------------------------------------------- what is told of them

def counted(steps: Sequence[Step], tokens: Callable[[str], int], rng: np.random.Generator,
            samples: int = 3) -> list[dict[str, Any]]:
    """A line for each step: pages and tokens that are left, and a few of the pages that went.

    tokens   counts those of a text
    samples  how many of what went
    """
    return [{"step": step.name, "pages": len(step.documents), "tokens": sum(tokens(one.text) for one in step.documents),
             "dropped": len(step.dropped), "changed": step.changed,
             "dropped_kinds": _counts(one.kind for one in step.dropped),
             "samples": [step.dropped[i].text for i in rng.permutation(len(step.dropped))[:samples]]}
            for step in steps]


def _counts(kinds: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for kind in kinds:
        found[kind] = found.get(kind, 0) + 1
    return dict(sorted(found.items()))
