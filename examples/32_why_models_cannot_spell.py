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

BUDGET = 2  # seconds of processor time

WORD, STEP = "Ubiquitous", 3
WAYS = (WORD, "ubiquitous", " Ubiquitous", " ubiquitous", "UBIQUITOUS")

# %% The merges of GPT-2 that these words and dots need: the place in its list, and the two halves.
GPT2 = """14 i t, 24 o u, 78 Ġ u, 165 q u, 215 Ġ U, 236 . ., 260 ou s, 293 u b, 656 t s, 730 .. ., 850 .. ..,
    1301 i qu, 1787 I T, 1853 .... ...., 2350 O U, 3227 B I, 3925 ........ ........, 10661 Q U, 11765 ĠU b,
    12103 .. ..., 16061 .... .., 20702 OU S, 20711 Ġu b, 21853 it ous, 23605 Ġub iqu, 25524 .... ...,
    27632 Ġubiqu itous, 34361 .... ....., 36353 U b, 44018 ........ ....., 48873 ................ .."""
merges = {256 + int(place): (hidden(a), hidden(b)) for place, a, b in map(str.split, GPT2.split(","))}
vocab = {i: bytes([byte]) for i, byte in enumerate(ALPHABET)} | {i: a + b for i, (a, b) in merges.items()}
gpt2, letters = Tokenizer(vocab, list(merges.values())), CharacterTokenizer.train("".join(WAYS))


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of a text, as text."""
    return [tokenizer.vocab[i].decode() for i in tokenizer.encode(text)]


# %% Where the letters are that the question asks for.
hidden_in = [(token, place) for token in tokens(gpt2, WORD) for place in range(1, len(token) + 1)]
print(table(("character", "", "asked for", "token", "its id", "place in the token"), [
    (i + 1, WORD[i], "yes" if i % STEP == 0 else "", token, *gpt2.encode(token), place)
    for i, (token, place) in enumerate(hidden_in)]))

# %% The same word, written otherwise: other tokens, so what was learned about one says nothing about the next.
print()
print(table(("text", "GPT-2's tokens", "ids"), [
    (way.replace(" ", "_"), "|".join(tokens(gpt2, way)).replace(" ", "_"), " ".join(map(str, gpt2.encode(way))))
    for way in WAYS]))

# %% The answer, and what indexing gives: every third id is the answer only where an id is a character.
answer = WORD[::STEP]
shared = set(gpt2.encode(answer)) & set(gpt2.encode(WORD))
print(f'\nEvery third character of "{WORD}": "{answer}"; the document\'s model said "Uiis", which shares '
      f"{sum(a == b for a, b in zip(answer, 'Uiis', strict=True))} of 4 places with it.")
print(f'As tokens the answer is {"|".join(tokens(gpt2, answer))}; of these the question holds {len(shared)}.\n')
print(table(("tokenizer", "ids of the question", "every third of them, decoded"), [
    (name, " ".join(map(str, tokenizer.encode(WORD))), tokenizer.decode(tokenizer.encode(WORD)[::STEP]))
    for name, tokenizer in (("GPT-2's", gpt2), ("characters", letters))]))

# %% Counting dots: the number of tokens goes up and down.
dots = range(1, 22)
counts = [len(gpt2.encode("." * n)) for n in dots]
print()
print(table(("dots", "tokens", "their lengths"), [
    (n, counts[n - 1], " ".join(str(len(token)) for token in tokens(gpt2, "." * n))) for n in dots if n > 7]))

# %% Both as a picture.
fig, (left, right) = figures.new(columns=2, width=8.0, height=3.0)
colors = dict(zip(tokens(gpt2, WORD), (figures.SKY, figures.ORANGE, figures.GREEN), strict=True))
for i, (token, place) in enumerate(hidden_in):
    left.bar(i + 1, 1, width=0.94, color=colors[token], alpha=0.55, hatch="//" if i % STEP == 0 else None,
             edgecolor="white")
    left.text(i + 1, 0.5, WORD[i], ha="center", va="center", fontsize=13,
              weight="bold" if i % STEP == 0 else "normal")
    if place == 1:
        left.text(i + 1 + (len(token) - 1) / 2, 1.06, f"{token}\n{gpt2.encode(token)[0]}", ha="center", va="bottom")
left.set(title="Hatched: what is asked for", xlabel="character of the word", ylim=(0, 1.5), yticks=[],
         xticks=range(1, len(WORD) + 1))
left.grid(False)
right.step(dots, counts, where="mid", color=figures.BLUE)
right.plot(dots, counts, "o", color=figures.BLUE, ms=4)
right.set(title="Dots in a row", xlabel="dots", ylabel="tokens", ylim=(0, 2.6), yticks=(0, 1, 2),
          xticks=range(1, 22, 4))
figures.save(fig, "32_spelling", "Left: the ten letters of the word, grouped by the three tokens that GPT-2 makes of "
             "it, with their ids above; the hatched letters are every third. The ids are all a model is given. "
             "Right: the number of tokens of a row of dots does not grow with the row.")
