"""Attention by hand: five tokens look at what came before them

Document 004, section 2.1, names the Transformer that base models are; this is the one step in
which its tokens meet.  Each token asks with a query, offers a key, and hands over a value; how
much it takes from each earlier token is a softmax of how well its query fits their keys.  Three
lines of NumPy do it, and the kernel that training uses gives the same without ever holding the
table of weights.

Look for three things: no token sees what follows it; a row of weights adds to 1; and a sharper
query (twice as long) looks at fewer tokens, as a lower temperature would.
"""
import numpy as np

from rlscratch import kernels
from rlscratch.formulas.distribution import entropy, softmax
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% Five words.  A key says what a word is (noun, verb), a query what it looks for, a value what it
# tells.
WORDS = ("the", "boy", "opens", "the", "door")
KEYS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [2.0, 0.0]])
QUERIES = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [1.0, 1.0],
                    [0.0, 2.0]])  # the verb looks for a noun
VALUES = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
T, D = KEYS.shape


def scores(queries: np.ndarray) -> np.ndarray:
    """q k' / sqrt(D) for the tokens up to and including the asking one, -inf for those behind it;
(T, T).
"""
    return np.where(np.tri(T, dtype=bool), queries @ KEYS.T / np.sqrt(D), -np.inf)


# %% The weights, a row a token, and the sentence they make of it.
seen = softmax(scores(QUERIES))
rows = []
for i, word in enumerate(WORDS):
    rows.append((f"{word} {i}", *(f"{w:.3f}" for w in seen[i]), f"{seen[i].sum():.1f}"))
print(table(("token asks", "the 0", "boy 1", "opens 2", "the 3", "door 4", "sum"), rows))
favourite = [WORDS[j] for j in seen.argmax(axis=1)]
print(f"\n\"{WORDS[2]}\" looks most at \"{favourite[2]}\"; "
      f"\"{WORDS[4]}\" looks most at \"{favourite[4]}\".")

# %% Out comes a mean of values; the kernel takes (B, T, 3, H, D) and gives the same.
by_hand = seen @ VALUES
out, _ = kernels.attention(np.stack([QUERIES, KEYS, VALUES], axis=1)[None, :, :, None])
by_kernel = out[0, :, 0]
rows = []
for i, word in enumerate(WORDS):
    (a, b), (c, d) = by_hand[i], by_kernel[i]
    rows.append((word, f"{a:.4f} {b:.4f}", f"{c:.4f} {d:.4f}"))
print()
print(table(("token", "by hand", "kernel"), rows))
print("largest difference below 1e-12:", bool(np.abs(by_kernel - by_hand).max() < 1e-12))

# %% What follows is not seen: another last word changes no row but its own.
other = KEYS.copy()
other[-1] = [9.0, -9.0]
changed, _ = kernels.attention(np.stack([QUERIES, other, VALUES], axis=1)[None, :, :, None])
moved = (changed[0, :, 0] != by_kernel).any(axis=1)
print("rows that a new last word changes:", [WORDS[i] for i in np.flatnonzero(moved)])

# %% Longer queries, sharper looks.
rows = []
for factor in (0.5, 1.0, 2.0, 4.0):
    last_row = scores(factor * QUERIES)[-1]
    rows.append((f"{factor:g}", f"{entropy(last_row):.3f}"))
print()
print(table(("queries times", 'entropy of the row of "door", nats'), rows))


# %% The weights, drawn.
def draw() -> None:
    fig, ax = figures.new(width=5.6, height=4.4)
    image = ax.imshow(np.where(np.tri(T, dtype=bool), seen, np.nan), cmap="cividis", vmin=0, vmax=1)
    for i in range(T):
        for j in range(i + 1):
            ax.text(j, i, f"{seen[i, j]:.2f}", ha="center", va="center",
                    color="white" if seen[i, j] < 0.6 else "black")
    ax.set_xticks(range(T), WORDS)
    ax.set_yticks(range(T), WORDS)
    ax.grid(False)
    ax.set(title="Who looks at whom", xlabel="token looked at", ylabel="token that asks")
    fig.colorbar(image, ax=ax, label="attention weight")
    figures.save(fig, "29_attention_by_hand", "Attention weights of five tokens: row i says what "
                 "token i takes from the tokens up to itself. Nothing is drawn above the diagonal, "
                 "since no token sees what follows it; each row adds to 1.")


draw()

# %% Try it.  Give "boy" a key twice as long, [4, 0].  Which words look at it more, and what does
# that cost the others?
# What came out: "opens" gives it .993 instead of .894 and the second "the" .735 instead of .402;
# "door" asks for something else and changes nothing.  A long key is loud to all who ask in its
# direction.
