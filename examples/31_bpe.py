"""Byte-pair encoding: from text to the integers that a model reads

Document 004, section 2.1: frequent chunks of text get an id of their own.  The first cell learns five
merges from four words.  The second encodes the document's sentence with GPT-2's merges, of which these
words need 32: an id is 256 bytes plus the merge's place in the list.  The third learns from the
English reference that ships with Python, and asks what a larger vocabulary buys.

Look for three things: most merges are ties, so the rule for ties is part of the vocabulary; the space
belongs to the word behind it; and each doubling of the vocabulary buys less, on unseen text least.
"""
import pydoc_data.topics

from rlscratch.bpe import Tokenizer
from rlscratch.bpe.vocabulary import ALPHABET, hidden
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 3  # seconds of processor time


def shown(tokenizer: Tokenizer, text: str, between: str = "|") -> str:
    """The tokens of a text, their spaces as underscores."""
    return between.join(tokenizer.vocab[i].decode().replace(" ", "_") for i in tokenizer.encode(text))


# %% Learning by hand: one merge a line, and what it does to the pieces.
WORDS = ("she", " sells", " sea", " shells")
lines = []
for merges in range(6):
    tokenizer = Tokenizer.train("".join(WORDS), 256 + merges)
    last = [half.decode().replace(" ", "_") for half in tokenizer.merges[-1]] if merges else []
    lines.append((merges, " + ".join(last), *(shown(tokenizer, word, " ") for word in WORDS)))
print(table(("merges", "the last", *(word.replace(" ", "_") for word in WORDS)), lines))

# %% The document's sentence.  Each entry: the place of a merge in GPT-2's list, and its two halves.
GPT2 = """2 h e, 10 Ġ w, 11 Ġ o, 13 Ġ c, 14 i t, 15 i s, 17 o r, 26 a l, 30 Ġo f, 41 l l, 53 Ġ T, 62 Ġ is, 79 l d,
    90 i l, 146 Ġ G, 208 T he, 220 Ġw or, 243 a p, 288 i a, 439 e ll, 739 Ġwor ld, 1031 it al, 1195 Ġc ap, 2013 ĠG e,
    2142 or g, 2883 Ġcap ital, 6594 ĠGe org, 7603 ĠGeorg ia, 10853 ell o, 15240 H ello, 23011 is i, 33217 b il"""
merges = {256 + int(place): (hidden(a), hidden(b)) for place, a, b in map(str.split, GPT2.split(","))}
vocab = {i: bytes([byte]) for i, byte in enumerate(ALPHABET)} | {i: a + b for i, (a, b) in merges.items()}
gpt2 = Tokenizer(vocab, list(merges.values()))
DOCUMENT = {"The capital of Georgia is": "464 3139 286 7859 318", " Tbilisi": "several", "Hello world": "2 tokens"}
print()
print(table(("text", "tokens", "document", "ours"), [
    (text.replace(" ", "_"), shown(gpt2, text), printed, " ".join(map(str, gpt2.encode(text))))
    for text, printed in DOCUMENT.items()]))

# %% Python's reference: learn from nine tenths, measure on both parts.  A small vocabulary begins a large one.
reference = "".join(pydoc_data.topics.topics.values())
cut = len(reference) * 9 // 10
seen, unseen = reference[:cut], reference[cut:]
largest = Tokenizer.train(seen, 8192)
sizes, curves = [256, 512, 1024, 2048, 4096, 8192], {"text it learned from": [], "unseen tenth": []}
for size in sizes:
    kept = largest.merges[:size - 256]
    tokenizer = Tokenizer({i: token for i, token in largest.vocab.items() if i < size}, kept)
    for curve, text in zip(curves.values(), (seen, unseen), strict=True):
        curve.append(len(text.encode()) / len(tokenizer.encode(text)))
print()
print(table(("vocabulary", *(f"bytes a token, {name}" for name in curves)), [
    (size, *(f"{y:.1f}" for y in row)) for size, *row in zip(sizes, *curves.values(), strict=True)]))

# %% The same as a picture.
fig, ax = figures.new()
for (name, curve), color, marker in zip(curves.items(), (figures.BLUE, figures.ORANGE), ("o", "s"), strict=True):
    ax.plot(sizes, curve, color=color, marker=marker)
    ax.annotate(name, (sizes[-1], curve[-1]), (8, 0), textcoords="offset points", color=color, va="center")
ax.set_xscale("log", base=2)
ax.set_xticks(sizes, map(str, sizes))
ax.set(title="What a larger vocabulary buys", xlabel="vocabulary, tokens", ylabel="bytes a token", ylim=0,
       xlim=(sizes[0] * 0.9, sizes[-1] * 4))
figures.save(fig, "31_bpe", "Bytes that one token stands for, on average, over the size of the vocabulary (doubling "
             "from mark to mark), for the text the merges were learned from and for an unseen tenth of it. From a "
             "few thousand tokens on, what is learned fits the text it was learned from more than the unseen one.")
