"""The text of pre-training: where it comes from, what is held out, the windows that are learned from.

Without a file of the user's, the text is the language reference that ships with every CPython,
pydoc_data.topics: what help("while") prints, 79 articles.  Of Python 3.11 it has 466,117 bytes; other
versions have other ones, so figures compare only within a version of Python.

Held out is the last tenth of the bytes, one piece, cut between two characters.  Nothing is learned
from it, the tokenizer's merges neither.  It is no stranger to the other nine tenths, though: articles
of the reference quote each other, and `repeated` says that 32% of the held-out bytes stand in a run of
24 that the training part has too.  Whatever can copy a long passage gains by that.

Source: document 002, the phase of pre-training.
Leaves out: shuffling and deduplicating documents, texts that do not fit into memory.
"""
import pydoc_data.topics
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rlscratch import check
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.check import Array

TOKENIZERS = ("bpe", "bytes", "characters")


def reference() -> str:
    """Python's language reference: its articles one after the other, in the order of their names."""
    return "".join(article for _, article in sorted(pydoc_data.topics.topics.items()))


def read(paths: Iterable[str | Path]) -> str:
    """The texts of files, one after the other.  Raises ValueError for a file that is empty or not UTF-8."""
    texts = []
    for path in paths:
        try:
            texts.append(Path(path).read_bytes().decode("utf-8"))        # line ends as they are
        except UnicodeDecodeError as damage:
            check.fail(f"the text in {path}", damage.reason, "UTF-8")
        if not texts[-1]:
            check.fail(f"the text in {path}", "", "at least one character")
    return "".join(texts)


def split(text: str) -> tuple[str, str]:
    """Nine tenths of the bytes to learn from, and the last tenth; neither is empty.

    >>> split("ten bytes!")
    ('ten bytes', '!')
    """
    data = text.encode()
    cut = len(data) * 9 // 10
    while 0 < cut < len(data) and data[cut] & 0xC0 == 0x80:         # 10xxxxxx: within a character
        cut -= 1
    if not 0 < cut < len(data):
        check.fail("the length of the text", len(data),
                   "bytes enough to learn from nine tenths and to hold out one; give a longer text, or several")
    return data[:cut].decode(), data[cut:].decode()


def repeated(train: bytes, held: bytes, length: int = 24) -> float:
    """The share of the held-out bytes that stand in a run of so many bytes which occurs in the training part.

    >>> repeated(b"on the table", b"at the end", length=4)
    0.5
    """
    known = {train[i:i + length] for i in range(len(train) - length + 1)}
    covered = np.zeros(len(held), bool)
    for i in range(len(held) - length + 1):
        if held[i:i + length] in known:
            covered[i:i + length] = True
    return covered.mean().item()


def tokenizer_of(kind: str, text: str, train: str, vocab_size: int) -> Tokenizer:
    """A tokenizer for the text.

    kind        "bpe": merges learned from `train`; "bytes": none, 256 tokens; "characters": those of
                the whole text, for an alphabet that lacks a held-out letter could not be measured
    vocab_size  of "bpe"; the others take what they need
    """
    check.one_of(TOKENIZERS, tokenizer=kind)
    if kind == "characters":
        return CharacterTokenizer.train(text)
    return Tokenizer.train(train, vocab_size if kind == "bpe" else 256)


def windows(ids: Sequence[int] | Array, length: int, number: int, rng: np.random.Generator) -> Array:
    """Pieces (number, length) of ids that begin anywhere, each place as likely; they may overlap.

    >>> windows([5, 6, 7], 3, 2, np.random.default_rng(0)).tolist()
    [[5, 6, 7], [5, 6, 7]]
    """
    ids = np.asarray(ids)
    length, number = check.integer(1, length=length), check.integer(1, number=number)
    if len(ids) < length:
        check.fail("the number of tokens", len(ids), f"at least {length}, the length of one window")
    starts = check.generator(rng=rng).integers(0, len(ids) - length + 1, number)
    return ids[starts[:, None] + np.arange(length)]
