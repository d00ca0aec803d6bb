"""Cutting text before BPE: GPT-2's pattern, special tokens, and text that arrives in parts.

Merges never cross a cut, so the pattern decides what can become a token.  From where it stands
it takes the first of these that fits ("_" is a space):

    's  't  'd  'm  'll  've  're    the endings of English contractions, in lower case      (1)
    _? letters                       a run of letters of any script, one space before it     (2)
    _? numbers                       the same of the characters that Unicode calls numbers   (3)
    _? others                        the same of what is neither of them nor white space     (4)
    white space                      a run; if text follows, all but its last character      (5)
    white space                      what (5) cannot take: one character with text behind it (6)

The space belongs to the word that follows it, which is why " is" and "is" are two tokens and a
text needs no token for most of its spaces.  Nothing is dropped: the pieces join to the text.

    I'll pay  99 dollars.   ->   I 'll _pay _ _99 _dollars .

Special tokens are cut out before the pattern is applied, at each place the longest that begins
there, so they are never split, and a piece of ordinary text never contains one.

Text that arrives in parts is cut as if it came at once.  Two facts say what is settled:

    a piece depends on what follows it by at most two characters (the "ll" of (1)), so it is
    settled as soon as two more pieces stand behind it;                                      (7)
    with L characters in the longest special token, whether one begins at a place is settled
    as soon as L characters are known from there on.                                         (8)

Source: the pattern of GPT-2's encoder.py, Radford et al. 2019; the classes are Unicode's.
PATTERNS are those of other models; where one of them cuts, a text is cut when it is there as a whole.
Leaves out: patterns that nobody's tokenizer.json has.
"""
import unicodedata
from collections.abc import Iterable, Iterator
from math import inf

import regex

from rlscratch import check

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# As they stand in files of Hugging Face: GPT-2's with its endings apart; Qwen2's; Llama 3's, with three digits at once.
_LATER = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
PATTERNS = (GPT2_PATTERN, r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
            _LATER % "", _LATER % "{1,3}")


class Splitter:
    """Cuts text into special tokens and the pieces that a pattern finds between them.

    special_tokens  strings that are pieces wherever they occur
    pattern         what a piece is; its matches must cover any text
    normal_form     of Unicode, such as "NFC", into which the text between special tokens is brought first

    >>> Splitter(["<|end|>"]).split("I'll pay  99 dollars.<|end|>")
    ['I', "'ll", ' pay', ' ', ' 99', ' dollars', '.', '<|end|>']
    """

    def __init__(self, special_tokens: Iterable[str], pattern: str = GPT2_PATTERN,
                 normal_form: str | None = None) -> None:
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._special = regex.compile("|".join(map(regex.escape, longest_first))) if longest_first else None
        self._longest = len(longest_first[0]) if longest_first else 1
        find, self.pattern, self.normal_form = regex.compile(pattern).findall, pattern, normal_form
        self._pieces = find if normal_form is None else lambda text: find(unicodedata.normalize(normal_form, text))
        self._at_once = normal_form is not None or pattern in PATTERNS[1:]          # they obey no such law as (7)

    def ordinary(self, text: str) -> list[str]:
        """The pieces of a text in which special tokens are text like any other."""
        return self._pieces(text)

    def split(self, text: str) -> list[str]:
        """The pieces of a whole text, in order; they join to the text."""
        pieces, end = self._around_special(text, len(text))
        return pieces + self._pieces(text[end:])

    def stream(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The pieces of the texts' concatenation, in lists, each as soon as it is settled.

        What is not settled waits until as much text again has come: so the work is linear however
        small the texts are, and the memory is that of one text and of one piece.
        """
        waiting, settled_from = "", inf if self._at_once else 0
        for i, part in enumerate(texts):
            waiting += text(part=part, called=f"texts[{i}]")
            if len(waiting) >= settled_from:
                pieces, waiting = self._settled(waiting)
                settled_from = 2 * len(waiting)
                yield pieces
        yield self.split(waiting)

    def _settled(self, text: str) -> tuple[list[str], str]:
        """The pieces that no continuation of the text can change, by (7) and (8), and the rest."""
        undecided = max(0, len(text) - self._longest + 1)
        pieces, end = self._around_special(text, undecided)
        certain = self._pieces(text[end:undecided])[:-2]
        return pieces + certain, text[end + sum(map(len, certain)):]

    def _around_special(self, text: str, stop: int) -> tuple[list[str], int]:
        """The pieces up to the end of the last special token that begins before `stop`, and that end."""
        pieces, end = [], 0
        for match in self._special.finditer(text) if self._special else ():
            if match.start() >= stop:
                break
            pieces += self._pieces(text[end:match.start()])
            pieces.append(match[0])
            end = match.end()
        return pieces, end


def text(**strings: object) -> str:
    """A string, checked: one that UTF-8 can write.  A lone surrogate, half of a pair, is no character."""
    (name, value), = check.named(strings).items()
    if not isinstance(value, str):
        check.fail(name, value, "a string", TypeError)
    if not value.isascii() and (half := regex.search(r"[\ud800-\udfff]", value)):
        check.fail(f"{name}[{half.start()}]", half[0], "a character; a lone surrogate cannot be written in UTF-8")
    return value


def special(special_tokens: Iterable[str]) -> tuple[str, ...]:
    """Special tokens, checked: strings that are not empty, none of them twice."""
    if isinstance(special_tokens, str):
        check.fail("special_tokens", special_tokens, "a sequence of strings, such as ('<|endoftext|>',)", TypeError)
    tokens = tuple(special_tokens)
    for i, token in enumerate(tokens):
        if not text(token=token, called=f"special_tokens[{i}]"):
            check.fail(f"special_tokens[{i}]", token, "at least one character")
        if (first := tokens.index(token)) < i:
            check.fail(f"special_tokens[{i}]", token, f"another token than special_tokens[{first}]")
    return tokens
