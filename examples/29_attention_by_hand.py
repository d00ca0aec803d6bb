"""Attention by hand: five tokens look at what came before them

Document 004, section 2.1, names the Transformer that base models are; this is the one step in which its
tokens meet.  Each token asks with a query, offers a key, and hands over a value; how much it takes from
each earlier token is a softmax of how well its query fits their keys.  Three lines of NumPy do it, and
the kernel that training uses gives the same without ever holding the table of weights.

Look for three things: no token sees what follows it; a row of weights adds to 1; and a sharper query
(twice as long) looks at fewer tokens, as a lower temperature would.
"""
import numpy as np

from rlscratch import kernels
from rlscratch.formulas.distribution import entropy, softmax
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% Five words.  A key says what a word is (noun, verb), a query what it looks for, a value what it tells.
WORDS = ("the", "boy", "opens", "the", "door")
KEYS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [2.0, 0.0]])
QUERIES = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])    # the verb looks for a noun
VALUES = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
T, D = KEYS.shape


def scores(queries: np.ndarray) -> np.ndarray:
    """q k' / sqrt(D) for the tokens up to and including the asking one, -inf for those behind it; (T, T)."""
    return np.where(np.tri(T, dtype=bool), queries @ KEYS.T / np.sqrt(D), -np.inf)


# %% The weights, a row a token, and the sentence they make of it.
seen = softmax(scores(QUERIES))
print(table(("token asks", *(f"{word} {j}" for j, word in enumerate(WORDS)), "sum"), [
    (f"{word} {i}", *(f"{w:.3f}" for w in seen[i]), f"{seen[i].sum():.1f}") for i, word in enumerate(WORDS)]))
favourite = [WORDS[j] for j in seen.argmax(axis=1)]
print(f"\n\"{WORDS[2]}\" looks most at \"{favourite[2]}\"; \"{WORDS[4]}\" looks most at \"{favourite[4]}\".")

# %% Out comes a mean of values; the kernel takes (B, T, 3, H, D) and gives the same.
by_hand = seen @ VALUES
out, lse = kernels.attention(np.stack([QUERIES, KEYS, VALUES], axis=1)[None, :, :, None])
print()
print(table(("token", "by hand", "kernel"), [
    (word, " ".join(f"{x:.4f}" for x in by_hand[i]), " ".join(f"{x:.4f}" for x in out[0, i, 0]))
    for i, word in enumerate(WORDS)]))
print("largest difference below 1e-12:", bool(np.abs(out[0, :, 0] - by_hand).max() < 1e-12))

# %% What follows is not seen: another last word changes no row but its own.
other = KEYS.copy()
other[-1] = [9.0, -9.0]
changed, _ = kernels.attention(np.stack([QUERIES, other, VALUES], axis=1)[None, :, :, None])
print("rows that a new last word changes:", [WORDS[i] for i in np.flatnonzero((changed != out).any(axis=(0, 2, 3)))])

# %% Longer queries, sharper looks.
print()
print(table(("queries times", 'entropy of the row of "door", nats'), [
    (f"{factor:g}", f"{entropy(scores(factor * QUERIES)[-1]):.3f}") for factor in (0.5, 1.0, 2.0, 4.0)]))

# %% The weights, drawn.
fig, ax = figures.new(width=5.6, height=4.4)
image = ax.imshow(np.where(np.tri(T, dtype=bool), seen, np.nan), cmap="cividis", vmin=0, vmax=1)
for i in range(T):
    for j in range(i + 1):
        ax.text(j, i, f"{seen[i, j]:.2f}", ha="center", va="center", color="white" if seen[i, j] < 0.6 else "black")
ax.set_xticks(range(T), WORDS)
ax.set_yticks(range(T), WORDS)
ax.grid(False)
ax.set(title="Who looks at whom", xlabel="token looked at", ylabel="token that asks")
fig.colorbar(image, ax=ax, label="attention weight")
figures.save(fig, "29_attention_by_hand", "Attention weights of five tokens: row i says what token i takes from the "
             "tokens up to itself. Nothing is drawn above the diagonal, since no token sees what follows it; each row "
             "adds to 1.")
