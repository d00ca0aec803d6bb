"""Byte-level BPE against its definition, and against GPT-2's own files.

By hand, "she sells sea shells": _+s three times, then l+s, l+ls, h+e, _s+e twice each, the greatest pair first.
With GPT-2's files: "The capital of Georgia is" 464 3139 286 7859 318; " Tbilisi" 309 33473 23267;
"Ubiquitous" 36609 1557 22109; "Hello world" 15496 995.  Those need RLSCRATCH_GPT2, the folder of the files.
"""
import ast
import copy
import gc
import itertools
import os
import pickle
import pydoc_data.topics
import tracemalloc
from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlscratch.bpe import Splitter, Tokenizer, learn_merges
from rlscratch.bpe.tokenizer import BYTES
from rlscratch.bpe.vocabulary import hidden
from texts import SPECIAL, cuts, few_letters, parts_of, texts

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

SEA = "she sells sea shells"
SEA_MERGES = [(b" ", b"s"), (b"l", b"s"), (b"l", b"ls"), (b"h", b"e"), (b" s", b"e")]
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
GPT2 = os.environ.get("RLSCRATCH_GPT2")

trained = Tokenizer.train(SEA * 3 + " zażółć 漢字漢字 it's <|end|>", 256 + 20 + len(SPECIAL), SPECIAL)
bytes_alone = Tokenizer(dict(enumerate(BYTES)), [])


# ---------------------------------------------------------------- learning

def by_definition(text, number, best=lambda count, pair: (count, pair)):
    """Steps 2 to 6 of the module, word by word."""
    words = [[bytes([byte]) for byte in piece.encode()] for piece in Splitter(()).split(text)]
    merges = []
    while len(merges) < number:
        counts = Counter(pair for word in words for pair in itertools.pairwise(word))
        if not counts:
            break
        merge = max(counts, key=lambda pair: best(counts[pair], pair))
        merges.append(merge)
        for word in words:
            for i in range(len(word)):
                if tuple(word[i:i + 2]) == merge:
                    word[i:i + 2] = [merge[0] + merge[1]]
    return merges


def test_five_merges_by_hand():
    assert Tokenizer.train(SEA, 256 + 5).merges == SEA_MERGES == by_definition(SEA, 5)


@given(few_letters | texts, st.integers(0, 20))
@example("aaaaaaa aaaaa aaa", 6)
@example("abababab bababa", 6)
@example(SEA, 20)
def test_learning_is_what_the_definition_says(text, number):
    tokenizer = Tokenizer.train(text, 256 + number)
    assert tokenizer.merges == by_definition(text, number)
    assert tokenizer.vocab == dict(enumerate(BYTES + [a + b for a, b in tokenizer.merges]))


def test_learning_is_what_the_definition_says_on_english():
    text = "".join(pydoc_data.topics.topics.values())[:20_000]
    assert Tokenizer.train(text, 256 + 120).merges == by_definition(text, 120)


@pytest.mark.parametrize("planted", [
    lambda count, pair: (count, [-byte for half in pair for byte in half]),     # the least pair first
    lambda count, pair: (count, pair[0] + pair[1]),                             # the greatest token, not pair
    lambda count, pair: (count, pair[1], pair[0]),                              # the second half first
    lambda count, pair: pair,                                                   # no counts
])
def test_another_rule_for_the_best_pair_would_be_noticed(planted):
    text = SEA + " abc ab abcabc ba cab aac caa"
    assert by_definition(text, 20, planted) != Tokenizer.train(text, 256 + 20).merges


@given(st.dictionaries(few_letters.filter(bool), st.integers(1, 5), max_size=8), st.randoms(use_true_random=False))
def test_what_is_learned_does_not_depend_on_the_order_of_the_pieces(counts, rng):
    items = list(counts.items())
    rng.shuffle(items)
    assert learn_merges(counts, 12) == learn_merges(dict(items), 12)


@given(few_letters)
def test_a_smaller_vocabulary_is_the_beginning_of_a_larger_one(text):
    assert Tokenizer.train(text, 256 + 3).merges == Tokenizer.train(text, 256 + 9).merges[:3]


@given(st.text("abc", min_size=1, max_size=40))
def test_a_token_learned_is_the_encoding_of_its_own_text(text):
    tokenizer = Tokenizer.train(text, 256 + 10)
    assert all(tokenizer.encode(token.decode()) == [i] for i, token in tokenizer.vocab.items() if i >= 256)


def test_a_text_that_runs_out_of_pairs_gives_a_smaller_vocabulary():
    assert Tokenizer.train("abab ab", 1000, ["<s>"]).vocab_size == 256 + 3 + 1
    assert Tokenizer.train("", 300).vocab_size == 256


def peak_memory(work):
    """The most bytes held at a time while work() runs, above those held before."""
    gc.collect()
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_learning_keeps_the_different_pieces_not_the_text():
    def learning(text):
        return peak_memory(lambda: Tokenizer.train(text, 256 + 50))

    text = "".join(pydoc_data.topics.topics.values())[:70_000]
    assert learning(text * 8) < 1.2 * learning(text * 2)


# ---------------------------------------------------------------- encoding and decoding

def encoded_by_definition(tokenizer, piece):
    """Merge the neighbours whose merge comes first in the list, of several places the leftmost."""
    rank = {merge: i for i, merge in enumerate(tokenizer.merges)}
    tokens = [bytes([byte]) for byte in piece.encode()]
    while places := [(rank[pair], i) for i, pair in enumerate(itertools.pairwise(tokens)) if pair in rank]:
        i = min(places)[1]
        tokens[i:i + 2] = [tokens[i] + tokens[i + 1]]
    ids = {token: i for i, token in tokenizer.vocab.items()}
    return [ids[token] for token in tokens]


@st.composite
def any_merges(draw):
    """Merges of which each makes a token from known ones, in any order, not as learning would list them."""
    tokens, merges = [b"a", b"b", b"c"], {}
    for _ in range(draw(st.integers(0, 10))):
        a, b = draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))
        merges[a, b] = None
        tokens = list(dict.fromkeys([*tokens, a + b]))
    vocab = dict(enumerate(dict.fromkeys(BYTES + tokens)))
    return Tokenizer(vocab, draw(st.permutations(list(merges))))


@given(any_merges(), st.text("abc", max_size=30))
def test_encoding_is_what_the_definition_says(tokenizer, text):
    assert tokenizer.encode(text) == encoded_by_definition(tokenizer, text)


@given(texts)
@example("漢字 zażółć it's")
def test_encoding_any_text_is_what_the_definition_says(text):
    pieces = Splitter(()).split(text)
    tokenizer = Tokenizer(trained.vocab, trained.merges)
    assert tokenizer.encode(text) == [i for piece in pieces for i in encoded_by_definition(tokenizer, piece)]


@given(texts | st.text())
def test_decoding_undoes_encoding(text):
    for tokenizer in (trained, bytes_alone):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_characters_from_all_of_unicode_survive():
    text = "".join(map(chr, itertools.chain(range(0xd800), range(0xe000, 0x10000), range(0x10000, 0x110000, 13))))
    assert trained.decode(trained.encode(text)) == text


@given(st.lists(st.integers(0, trained.vocab_size - 1)))
@example([0xf0, 0x9f, 0x99])                            # three bytes of four
@example([0xff, 0x41])
def test_ids_that_end_within_a_character_decode_to_the_replacement_character(ids):
    assert trained.decode(ids) == b"".join(trained.vocab[i] for i in ids).decode("utf-8", "replace")
    assert trained.decode([0xc3]) == trained.decode([0xff]) == "\ufffd"


@given(texts, cuts)
@example("a<|end|><|end|>b", [6, 12])
@example("she'll", [4, 5])
def test_where_a_text_is_divided_does_not_matter(text, cuts):
    for parts in (parts_of(text, cuts), list(text)):
        assert list(trained.encode_iterable(parts)) == trained.encode(text)


def test_an_endless_text_is_encoded_lazily():
    ids = trained.encode_iterable(itertools.repeat("she sells "))
    assert list(itertools.islice(ids, 9)) == (trained.encode("she" + " sells she" * 9))[:9]


def test_the_memory_of_a_long_text_is_constant(monkeypatch):
    monkeypatch.setattr("rlscratch.bpe.tokenizer.KEPT", 256)

    def encoding(lines):
        tokenizer = Tokenizer(trained.vocab, trained.merges)
        return peak_memory(lambda: deque(tokenizer.encode_iterable(f"{n:06d} " for n in range(lines)), maxlen=0))

    encoding(1000)
    assert encoding(4000) < 2 * encoding(1000)


def test_a_piece_without_end_takes_no_quadratic_time():
    tokenizer = Tokenizer.train("ab" * 64, 256 + 7)
    assert tokenizer.encode("ab" * 2**15) == [256 + 6] * 2**9


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_a_copy_encodes_as_the_original_does_and_stands_alone(copied):
    twin = copied(trained)
    assert twin.encode(SEA + "<|end|>") == trained.encode(SEA + "<|end|>")
    assert (twin.vocab, twin.merges) == (trained.vocab, trained.merges)
    assert twin._remembered.__wrapped__.__self__ is twin


def test_numpy_s_ids_decode_too():
    assert trained.decode(np.array(trained.encode(SEA))) == SEA == trained.decode(iter(trained.encode(SEA)))


# ---------------------------------------------------------------- special tokens

@given(texts)
@example("<|end|><|end|><|end|>!")
def test_a_special_token_is_one_id_and_no_other_text_gives_it(text):
    pieces = Splitter(SPECIAL).split(text)
    special = [trained.special_tokens[piece] for piece in pieces if piece in SPECIAL]
    assert [i for i in trained.encode(text) if i in trained.special_tokens.values()] == special


def test_special_tokens_come_last_and_the_longest_wins():
    end, twice, mark, _ = range(trained.vocab_size - 4, trained.vocab_size)
    assert list(trained.special_tokens.items())[:2] == [("<|end|>", end), ("<|end|><|end|>", twice)]
    assert trained.encode("<|end|><|end|><|end|>!") == [twice, mark]


@given(texts)
def test_nothing_is_learned_from_special_tokens_or_across_them(text):
    tokenizer = Tokenizer.train(text, 256 + 20 + len(SPECIAL), SPECIAL)
    pieces = [piece.encode() for piece in Splitter(SPECIAL).split(text) if piece not in SPECIAL]
    assert all(any(a + b in piece for piece in pieces) for a, b in tokenizer.merges)


def test_a_special_token_that_the_vocabulary_has_keeps_its_id():
    vocab = dict(enumerate([*BYTES, b"<s>", b"ab"]))
    tokenizer = Tokenizer(vocab, [(b"a", b"b")], ["<s>", "</s>", "ab"])
    assert tokenizer.special_tokens == {"<s>": 256, "</s>": 258, "ab": 257} and tokenizer.vocab_size == 259
    assert Tokenizer(vocab, [(b"a", b"b")]).encode("<s>") == [60, 115, 62]


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize(("text", "size", "special", "error", "message"), [
    ("a", 255, (), ValueError, r"vocab_size is 255; expected an integer in \[256, 1114112\]"),
    ("a", 257, ("<a>", "<b>"), ValueError, r"vocab_size is 257; expected an integer in \[258, "),
    ("a", 300.0, (), TypeError, r"vocab_size is 300.0; expected an integer"),
    ("a", 2 * 10**6, (), ValueError, r"vocab_size is 2000000"),
    (b"a", 300, (), TypeError, r"text is b'a'; expected a string"),
    (None, 300, (), TypeError, r"text is None; expected a string"),
    ("a\ud800", 300, (), ValueError, r"text\[1\] is '\\ud800'; expected a character; a lone surrogate"),
    ("a", 300, "<a>", TypeError, r"special_tokens is '<a>'; expected a sequence"),
    ("a", 300, ("",), ValueError, r"special_tokens\[0\] is ''; expected at least one character"),
])
def test_what_cannot_be_learned_from_is_named(text, size, special, error, message):
    with pytest.raises(error, match=message):
        Tokenizer.train(text, size, special)


@pytest.mark.parametrize(("ids", "error", "message"), [
    ([97, 256], ValueError, r"ids\[1\] is 256; expected an integer in \[0, 256\)"),
    ([-1], ValueError, r"ids\[0\] is -1; expected an integer in \[0, 256\)"),
    ([97.0], TypeError, r"ids is \[97.0\]; expected integers in \[0, 256\)"),
    (["a"], TypeError, r"ids is \['a'\]; expected integers"),
    ([[97]], ValueError, r"the shape of ids is \(1, 1\); expected 1 dimension"),
    ([True], TypeError, r"ids is \[True\]; expected integers"),
])
def test_ids_that_are_none_are_named(ids, error, message):
    with pytest.raises(error, match=message):
        bytes_alone.decode(ids)


def test_an_id_in_a_gap_of_the_vocabulary_is_named():
    tokenizer = Tokenizer(dict(enumerate(BYTES)) | {300: b"ab"}, [])
    assert tokenizer.vocab_size == 301 and tokenizer.decode([300]) == "ab"
    with pytest.raises(ValueError, match=r"ids\[1\] is 299; expected an id of the vocabulary, which has none here"):
        tokenizer.decode([300, 299])


@pytest.mark.parametrize(("text", "error", "message"), [
    (7, TypeError, r"text is 7; expected a string"), (["a"], TypeError, r"text is \['a'\]; expected a string"),
    ("ab\udfff", ValueError, r"text\[2\] is '\\udfff'; expected a character")])
def test_what_is_no_text_is_not_encoded(text, error, message):
    with pytest.raises(error, match=message):
        trained.encode(text)


# ---------------------------------------------------------------- GPT-2's files

@pytest.fixture(scope="module")
def gpt2():
    if not GPT2:
        pytest.skip("RLSCRATCH_GPT2 does not name a folder with GPT-2's vocab.json and merges.txt")
    return Tokenizer.from_gpt2(Path(GPT2) / "vocab.json", Path(GPT2) / "merges.txt")


@pytest.mark.parametrize(("text", "ids"), [
    ("The capital of Georgia is", [464, 3139, 286, 7859, 318]), (" Tbilisi", [309, 33473, 23267]),
    ("Ubiquitous", [36609, 1557, 22109]), ("Hello world", [15496, 995]), ("<|endoftext|>", [50256]),
    # What tiktoken 0.14 gives for these files: contractions, runs of spaces, other scripts and classes.
    ("I'll pay  99 dollars, don't DON'T:\n\n\n\tκόσμε 한국 e\u0301 \u00a0½Ⅷ 🙂<|endoftext|>",
     [40, 1183, 1414, 220, 7388, 5054, 11, 836, 470, 23917, 6, 51, 25, 628, 198, 197, 43000, 139, 234, 38392, 34703,
      30950, 220, 47991, 250, 166, 113, 255, 304, 136, 223, 220, 1849, 23141, 158, 227, 100, 32485, 50256]),
])
def test_ids_are_gpt2_s(gpt2, text, ids):
    assert gpt2.encode(text) == ids == list(gpt2.encode_iterable(text))
    assert gpt2.decode(ids) == text


def test_gpt2_s_vocabulary_is_read_whole(gpt2, tmp_path):
    assert (gpt2.vocab_size, len(gpt2.merges), gpt2.special_tokens) == (50257, 50000, {"<|endoftext|>": 50256})
    gpt2.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.vocab, loaded.merges, loaded.special_tokens) == (gpt2.vocab, gpt2.merges, gpt2.special_tokens)


@given(texts | st.text())
def test_gpt2_s_ids_decode_to_the_text(gpt2, text):
    assert gpt2.decode(gpt2.encode(text)) == text


@pytest.mark.parametrize("name", ["31_bpe.py", "32_why_models_cannot_spell.py"])
def test_the_merges_that_an_example_quotes_are_gpt2_s(gpt2, name):
    tree = ast.parse((EXAMPLES / name).read_text("utf-8"))
    quoted, = (node.value.value for node in tree.body
               if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "GPT2")
    entries = [entry.split() for entry in quoted.split(",")]
    assert [gpt2.merges[int(place)] for place, _, _ in entries] == [(hidden(a), hidden(b)) for _, a, b in entries]
    few = Tokenizer(gpt2.vocab, [(hidden(a), hidden(b)) for _, a, b in entries])
    shown = {"31": ["The capital of Georgia is", " Tbilisi", "Hello world"],
             "32": ["Ubiquitous", "ubiquitous", " Ubiquitous", " ubiquitous", "UBIQUITOUS", "Uqts",
                    *("." * n for n in range(1, 22))]}[name[:2]]
    assert [few.encode(text) for text in shown] == [gpt2.encode(text) for text in shown]
