"""GPT-2's tokens of the words in the documents, from the merges that these words need.

An id is 256 bytes plus the merge's place in GPT-2's list of 50,000.  Only the merges below can apply
within these words, so the ids are those of the whole list: a test compares them with GPT-2's files.
"""
from functools import cache

from rlscratch.bpe import Tokenizer
from rlscratch.bpe.vocabulary import ALPHABET, hidden

MERGES = """2 h e, 10 Ġ w, 11 Ġ o, 13 Ġ c, 14 i t, 15 i s, 17 o r, 24 o u, 26 a l, 30 Ġo f, 41 l l, 53 Ġ T, 62 Ġ is,
    79 l d, 90 i l, 146 Ġ G, 165 q u, 208 T he, 220 Ġw or, 243 a p, 260 ou s, 288 i a, 293 u b, 439 e ll, 739 Ġwor ld,
    1031 it al, 1195 Ġc ap, 1301 i qu, 2013 ĠG e, 2142 or g, 2883 Ġcap ital, 6594 ĠGe org, 7603 ĠGeorg ia, 10853 ell o,
    15240 H ello, 21853 it ous, 23011 is i, 33217 b il, 36353 U b"""


@cache
def gpt2() -> Tokenizer:
    """GPT-2's tokenizer as far as these words go."""
    merges = {256 + int(place): (hidden(a), hidden(b)) for place, a, b in map(str.split, MERGES.split(","))}
    vocab = {i: bytes([byte]) for i, byte in enumerate(ALPHABET)} | {i: a + b for i, (a, b) in merges.items()}
    return Tokenizer(vocab, list(merges.values()))


def pieces(text: str) -> tuple[str, ...]:
    """The tokens of a text, as text."""
    return tuple(gpt2().decode([i]) for i in gpt2().encode(text))
