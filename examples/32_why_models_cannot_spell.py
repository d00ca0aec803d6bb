"""Why models cannot spell: an id tells nothing about its letters

Document 004, section 2.3.2 and figure 1: asked for every third character of "Ubiquitous", a model
answers "Uiis".  Here is what it was shown.  GPT-2's merges cut the word into three tokens, or into
others when the word is written otherwise, and a row of dots into pieces that tell no number.

Look for three things: the four letters asked for lie in three tokens, at places that a model has to
know by heart; none of the answer's tokens occurs in the question; and with one token a character
the same question is indexing, which a small network can learn.
"""
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.bpe.vocabulary import ALPHABET, hidden
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 1.5  # seconds of processor time

WORD, STEP = "Ubiquitous", 3
WAYS = (WORD, "ubiquitous", " Ubiquitous", " ubiquitous", "UBIQUITOUS")

# %% The merges of GPT-2 that these words and dots need: the place in its list, and the two halves.
GPT2 = """14 i t, 24 o u, 78 Ġ u, 165 q u, 215 Ġ U, 236 . ., 260 ou s, 293 u b, 656 t s, 730 .. .,
    850 .. .., 1301 i qu, 1787 I T, 1853 .... ...., 2350 O U, 3227 B I, 3925 ........ ........,
    10661 Q U, 11765 ĠU b, 12103 .. ..., 16061 .... .., 20702 OU S, 20711 Ġu b, 21853 it ous,
    23605 Ġub iqu, 25524 .... ..., 27632 Ġubiqu itous, 34361 .... ....., 36353 U b,
    44018 ........ ....., 48873 ................ .."""
merges, vocab = [], {i: bytes([byte]) for i, byte in enumerate(ALPHABET)}
for entry in GPT2.split(","):
    place, a, b = entry.split()
    merges.append((hidden(a), hidden(b)))
    vocab[256 + int(place)] = hidden(a) + hidden(b)
gpt2, letters = Tokenizer(vocab, merges), CharacterTokenizer.train("".join(WAYS))


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of a text, as text."""
    return [tokenizer.vocab[i].decode() for i in tokenizer.encode(text)]


# %% Where the letters are that the question asks for.
rows, hidden_in = [], []                                # of each letter: its token, the place in it
for token in tokens(gpt2, WORD):
    for place in range(1, len(token) + 1):
        i, (its_id,) = len(rows), gpt2.encode(token)
        hidden_in.append((token, place))
        rows.append((i + 1, WORD[i], "yes" if i % STEP == 0 else "", token, its_id, place))
print(table(("character", "", "asked for", "token", "its id", "place in the token"), rows))

# %% The same word, written otherwise: other tokens, so what was learned about one says nothing
# about the next.
rows = []
for way in WAYS:
    cut = "|".join(tokens(gpt2, way)).replace(" ", "_")
    rows.append((way.replace(" ", "_"), cut, " ".join(map(str, gpt2.encode(way)))))
print()
print(table(("text", "GPT-2's tokens", "ids"), rows))

# %% The answer, and what indexing gives: every third id is the answer only where an id is a
# character.
answer, said = WORD[::STEP], "Uiis"
places = sum(answer[i] == said[i] for i in range(4))
shared = set(gpt2.encode(answer)) & set(gpt2.encode(WORD))
rows = []
for name, tokenizer in (("GPT-2's", gpt2), ("characters", letters)):
    ids = tokenizer.encode(WORD)
    rows.append((name, " ".join(map(str, ids)), tokenizer.decode(ids[::STEP])))
print(f'\nEvery third character of "{WORD}": "{answer}"; the document\'s model said "{said}", '
      f"which shares {places} of 4 places with it.")
print(f'As tokens the answer is {"|".join(tokens(gpt2, answer))}; '
      f"of these the question holds {len(shared)}.\n")
print(table(("tokenizer", "ids of the question", "every third of them, decoded"), rows))

# %% Counting dots: the number of tokens goes up and down.
dots, counts, rows = range(1, 22), [], []
for n in dots:
    lengths = [len(token) for token in tokens(gpt2, "." * n)]
    counts.append(len(lengths))
    if n > 7:
        rows.append((n, len(lengths), " ".join(map(str, lengths))))
print()
print(table(("dots", "tokens", "their lengths"), rows))


# %% Both as a picture.
def draw() -> None:
    fig, (left, right) = figures.new(columns=2, width=8.0, height=3.0)
    colors = dict(zip(tokens(gpt2, WORD), (figures.SKY, figures.ORANGE, figures.GREEN),
                      strict=True))
    for i, (token, place) in enumerate(hidden_in):
        left.bar(i + 1, 1, width=0.94, color=colors[token], alpha=0.55,
                 hatch="//" if i % STEP == 0 else None, edgecolor="white")
        left.text(i + 1, 0.5, WORD[i], ha="center", va="center", fontsize=13,
                  weight="bold" if i % STEP == 0 else "normal")
        if place == 1:
            left.text(i + 1 + (len(token) - 1) / 2, 1.06, f"{token}\n{gpt2.encode(token)[0]}",
                      ha="center", va="bottom")
    left.set(title="Hatched: what is asked for", xlabel="character of the word", ylim=(0, 1.5),
             yticks=[], xticks=range(1, len(WORD) + 1))
    left.grid(False)
    right.step(dots, counts, where="mid", color=figures.BLUE)
    right.plot(dots, counts, "o", color=figures.BLUE, ms=4)
    right.set(title="Dots in a row", xlabel="dots", ylabel="tokens", ylim=(0, 2.6),
              yticks=(0, 1, 2), xticks=range(1, 22, 4))
    figures.save(fig, "32_spelling", "Left: the ten letters of the word, grouped by the three "
                 "tokens that GPT-2 makes of it, with their ids above; the hatched letters are "
                 "every third. The ids are all a model is given. Right: the number of tokens of a "
                 "row of dots does not grow with the row.")


draw()

# %% Try it.  Ask for every second character, STEP = 2.  How many letters of the answer can be
# indexed?
# What came out: the answer is Uiutu, in five tokens, of which the question holds 0; every second of
# its three ids decodes to "Ubitous".  With a token a character it is indexing, again.
