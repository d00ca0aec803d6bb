"""Text at the edges of GPT-2's pattern and of special tokens, and what tokenizers are tried on."""
import itertools

from hypothesis import strategies as st

# Contractions, runs of white space, other scripts, beginnings of special tokens: pieces that meet at the edges.
BRICKS = ("'", "'s", "'l", "l", "ll", "'ve", "'S", " ", "  ", "\n", "\t", "\u00a0", "\x1c", "a", "The", "e\u0301", "ß",
          "中", "한", "ζ", "1", "42", "½", "Ⅷ", "!", "...", "_", "🙂", "\x00", "<", "<|", "<|end|>", "|>")
SPECIAL = ("<|end|>", "<|end|><|end|>", "<|end|>!", "'s a")    # they overlap, and one looks like text

texts = st.lists(st.sampled_from(BRICKS) | st.text(max_size=3), max_size=12).map("".join)
few_letters = st.text("aab '\n", max_size=24)                  # many equal pairs, and ties
cuts = st.lists(st.integers(0, 40), max_size=6)


def parts_of(text, cuts):
    """The text in parts, some of them empty."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)]
