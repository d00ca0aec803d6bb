"""Byte-pair encoding: from text to the integers that a model reads

Document 004, section 2.1: frequent chunks of text get an id of their own.  The first cell learns
five merges from four words.  The second encodes the document's sentence with GPT-2's merges, of
which these words need 32: an id is 256 bytes plus the merge's place in the list.  The third
learns from the English reference that ships with Python, and asks what a larger vocabulary buys.

Look for three things: most merges are ties, so the rule for ties is part of the vocabulary; the
space belongs to the word behind it; and each doubling of the vocabulary buys less, on unseen text
least.
"""
import pydoc_data.topics
from collections import Counter
from itertools import pairwise

from rlscratch.bpe import Tokenizer
from rlscratch.bpe.vocabulary import ALPHABET, hidden
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2.5  # seconds of processor time

# %% Learning by hand: count pairs of neighbours, merge the most frequent one everywhere, five
# times.
WORDS = ("she", "_sells", "_sea", "_shells")                    # _ is the space
pieces = [list(word) for word in WORDS]
rows = [(0, "", *(" ".join(piece) for piece in pieces))]
for merges in range(1, 6):
    count = Counter(pair for piece in pieces for pair in pairwise(piece))
    a, b = max(count, key=lambda pair: (count[pair], pair))     # of equals the greatest pair
    for piece in pieces:
        i = 0
        while i < len(piece) - 1:                               # from left to right
            if (piece[i], piece[i + 1]) == (a, b):
                piece[i:i + 2] = [a + b]
            i += 1
    rows.append((merges, f"{a} + {b}", *(" ".join(piece) for piece in pieces)))
print(table(("merges", "the last", *WORDS), rows))

# %% The document's sentence.  Each entry: the place of a merge in GPT-2's list, and its two halves.
GPT2 = """2 h e, 10 Ġ w, 11 Ġ o, 13 Ġ c, 14 i t, 15 i s, 17 o r, 26 a l, 30 Ġo f, 41 l l,
    53 Ġ T, 62 Ġ is, 79 l d, 90 i l, 146 Ġ G, 208 T he, 220 Ġw or, 243 a p, 288 i a, 439 e ll,
    739 Ġwor ld, 1031 it al, 1195 Ġc ap, 2013 ĠG e, 2142 or g, 2883 Ġcap ital, 6594 ĠGe org,
    7603 ĠGeorg ia, 10853 ell o, 15240 H ello, 23011 is i, 33217 b il"""
merges, vocab = [], {i: bytes([byte]) for i, byte in enumerate(ALPHABET)}
for entry in GPT2.split(","):
    place, a, b = entry.split()
    merges.append((hidden(a), hidden(b)))
    vocab[256 + int(place)] = hidden(a) + hidden(b)             # an id is 256 bytes plus the place
gpt2 = Tokenizer(vocab, merges)
DOCUMENT = {"The capital of Georgia is": "464 3139 286 7859 318", " Tbilisi": "several",
            "Hello world": "2 tokens"}
rows = []
for text, printed in DOCUMENT.items():
    ids = gpt2.encode(text)
    tokens = "|".join(vocab[i].decode() for i in ids)
    rows.append((text.replace(" ", "_"), tokens.replace(" ", "_"), printed,
                 " ".join(map(str, ids))))
print()
print(table(("text", "tokens", "document", "ours"), rows))

# %% Python's reference: learn from nine tenths, measure on both parts.  A small vocabulary begins a
# large one.
reference = "".join(pydoc_data.topics.topics.values())
cut = len(reference) * 9 // 10
seen, unseen = reference[:cut], reference[cut:]
largest = Tokenizer.train(seen, 8192)
sizes, curves = [256, 512, 1024, 2048, 4096, 8192], {"text it learned from": [], "unseen tenth": []}
rows = []
for size in sizes:
    kept = {i: token for i, token in largest.vocab.items() if i < size}
    tokenizer = Tokenizer(kept, largest.merges[:size - 256])
    on_seen = len(seen.encode()) / len(tokenizer.encode(seen))
    on_unseen = len(unseen.encode()) / len(tokenizer.encode(unseen))
    curves["text it learned from"].append(on_seen)
    curves["unseen tenth"].append(on_unseen)
    rows.append((size, f"{on_seen:.1f}", f"{on_unseen:.1f}"))
print()
print(table(("vocabulary", "bytes a token, text it learned from", "bytes a token, unseen tenth"),
            rows))


# %% The same as a picture.
def draw() -> None:
    fig, ax = figures.new()
    for (name, curve), color, marker in zip(curves.items(), (figures.BLUE, figures.ORANGE),
                                            ("o", "s"), strict=True):
        ax.plot(sizes, curve, color=color, marker=marker)
        ax.annotate(name, (sizes[-1], curve[-1]), (8, 0), textcoords="offset points", color=color,
                    va="center")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, map(str, sizes))
    ax.set(title="What a larger vocabulary buys", xlabel="vocabulary, tokens",
           ylabel="bytes a token", ylim=0, xlim=(sizes[0] * 0.9, sizes[-1] * 4))
    figures.save(fig, "31_bpe", "Bytes that one token stands for, on average, over the size of the "
                 "vocabulary (doubling from mark to mark), for the text the merges were learned "
                 "from and for an unseen tenth of it. From a few thousand tokens on, what is "
                 "learned fits the text it was learned from more than the unseen one.")


draw()

# %% Try it.  Of equal pairs take the first that was counted: key=count.get.  Do the same pieces
# come out?
# What came out: yes, after five merges, but by others: h + e comes second instead of fourth, and ll
# became a token where ls did.  Who reads ids needs the rule for ties as well.
