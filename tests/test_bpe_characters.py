"""One token a character: "Ubiquitous" has ten, and every third of its ids spells Uqts."""
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlscratch.bpe import CharacterTokenizer, Tokenizer, characters
from texts import SPECIAL, cuts, parts_of, texts

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


def test_every_third_id_spells_every_third_character():
    tokenizer = CharacterTokenizer.train("Ubiquitous")
    ids = tokenizer.encode("Ubiquitous")
    assert ids == ["Ubioqstu".index(c) for c in "Ubiquitous"]
    assert tokenizer.vocab_size == 8 and tokenizer.decode(ids[::3]) == "Uqts"


@given(texts | st.text())
@example("a<|end|><|end|>b")
def test_decoding_undoes_encoding_and_ordinary_text_has_one_id_a_character(text):
    tokenizer = CharacterTokenizer.train("!" + text, special_tokens=SPECIAL)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    if not any(token in text for token in SPECIAL):
        assert len(tokenizer.encode(text)) == len(text)


@given(texts, cuts)
@example("a<|end|><|end|>b", [6, 12])
def test_where_a_text_is_divided_does_not_matter(text, cuts):
    tokenizer = CharacterTokenizer.train("!" + text, special_tokens=SPECIAL)
    for parts in (parts_of(text, cuts), list(text)):
        assert list(tokenizer.encode_iterable(parts)) == tokenizer.encode(text)


@given(texts, st.sampled_from([(), SPECIAL, ("a", "<|end|>", "é")]))
def test_what_is_saved_is_loaded(tmp_path_factory, text, special):
    tokenizer = CharacterTokenizer.train("!" + text, special_tokens=special)
    folder = tmp_path_factory.getbasetemp() / "characters"
    tokenizer.save(folder)
    for loaded in (CharacterTokenizer.load(folder), characters.load(folder)):
        assert type(loaded) is CharacterTokenizer
        assert (loaded.vocab, loaded.special_tokens) == (tokenizer.vocab, tokenizer.special_tokens)
        assert loaded.encode(text) == tokenizer.encode(text)


def test_either_kind_of_file_is_loaded_as_what_it_is(tmp_path):
    Tokenizer.train("she sells", 260).save(tmp_path)
    assert type(characters.load(tmp_path)) is Tokenizer
    with pytest.raises(ValueError, match=r"the type of the model in .* is 'BPE'; expected WordLevel"):
        CharacterTokenizer.load(tmp_path)


def test_ids_follow_the_order_given_or_that_of_code_points():
    assert CharacterTokenizer("ba!").encode("ab!") == [1, 0, 2]
    assert CharacterTokenizer.train("ba!", special_tokens=["<|end|>"]).encode("ab!<|end|>") == [1, 2, 0, 3]


def test_an_unknown_character_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="a character of the text is 'é'; expected one of the vocabulary's 3 tokens"):
        CharacterTokenizer("abc").encode("abé")


def test_an_id_outside_the_vocabulary_is_named():
    with pytest.raises(ValueError, match=r"ids\[1\] is 3; expected an integer in \[0, 3\)"):
        CharacterTokenizer("abc").decode([0, 3])


@pytest.mark.parametrize(("given_", "special", "error", "message"), [
    (["a", "bc"], (), ValueError, r"characters\[1\] is 'bc'; expected one character, not among"),
    (["a", ""], (), ValueError, r"characters\[1\] is ''; expected one character"),
    ("aba", (), ValueError, r"characters\[2\] is 'a'; expected one character, not among those before it"),
    ("ab", ["b"], ValueError, r"characters\[1\] is 'b'; expected one character, not .* a special token"),
    ("", ["<s>"], ValueError, "characters is ''; expected at least one character"),
    ([1], (), TypeError, r"characters\[0\] is 1; expected a string"),
    ("ab", "<s>", TypeError, "special_tokens is '<s>'; expected a sequence"),
])
def test_characters_that_are_none_are_named(given_, special, error, message):
    with pytest.raises(error, match=message):
        CharacterTokenizer(given_, special)


@pytest.mark.parametrize(("text", "size", "error", "message"), [
    ("abc", 3, ValueError, r"vocab_size is 3; expected an integer >= 4"), (b"abc", None, TypeError, "text is b'abc'"),
    ("<s>", None, ValueError, "text is '<s>'; expected a character besides special tokens")])
def test_what_cannot_be_learned_from_is_named(text, size, error, message):
    with pytest.raises(error, match=message):
        CharacterTokenizer.train(text, size, special_tokens=["<s>"])
