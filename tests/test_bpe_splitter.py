"""GPT-2's pattern, special tokens and text in parts.

"I'll pay  99 dollars." is cut into I 'll _pay _ _99 _dollars . : of two spaces the second belongs to
the number.  Three line ends before a word are cut into two and one.
"""
import pytest
from hypothesis import example, given

from rlscratch.bpe import Splitter, splitter
from texts import SPECIAL, cuts, parts_of, texts

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


@pytest.mark.parametrize(("text", "pieces"), [
    ("I'll pay  99 dollars.", ["I", "'ll", " pay", " ", " 99", " dollars", "."]),
    ("a\n\n\nb", ["a", "\n\n", "\n", "b"]),
    ("a\n\n\n", ["a", "\n\n\n"]),
    ("it's IT'S", ["it", "'s", " IT", "'", "S"]),
    (" 's 'so", [" '", "s", " '", "so"]),
    ("x1½Ⅷ٣", ["x", "1½Ⅷ٣"]),
    ("naïve e\u0301t", ["naïve", " e", "\u0301", "t"]),
    ("a\u00a0b", ["a", "\u00a0", "b"]),
    ("漢字、かな", ["漢字", "、", "かな"]),
    ("", []),
])
def test_text_is_cut_as_gpt2_cuts_it(text, pieces):
    assert Splitter(()).split(text) == pieces


@given(texts)
def test_the_pieces_join_to_the_text(text):
    for special in ((), SPECIAL):
        pieces = Splitter(special).split(text)
        assert "".join(pieces) == text and all(pieces)


@given(texts)
@example("<|end|><|end|><|end|>!")
@example("x's a<|end|")
def test_special_tokens_are_cut_out_first_from_the_left_and_the_longest_of_them(text):
    wanted, ordinary, at = [], "", 0
    while at < len(text):
        begins = [token for token in SPECIAL if text.startswith(token, at)]
        if begins:
            wanted += [*Splitter(()).split(ordinary), max(begins, key=len)]
            ordinary, at = "", at + len(wanted[-1])
        else:
            ordinary, at = ordinary + text[at], at + 1
    assert Splitter(SPECIAL).split(text) == wanted + Splitter(()).split(ordinary)


@given(texts, cuts)
@example("I'll", [2])
@example("a<|end|><|end|>b", [6, 12])
@example("\n\n\nb", [1, 2])
def test_text_in_parts_is_cut_as_if_it_came_at_once(text, cuts):
    for special in ((), SPECIAL):
        splitter = Splitter(special)
        for parts in (parts_of(text, cuts), list(text), []):
            streamed = [piece for pieces in splitter.stream(iter(parts)) for piece in pieces]
            assert streamed == splitter.split("".join(parts))


@pytest.mark.parametrize("planted", [
    lambda splitter, text: (splitter._pieces(text), ""),                        # nothing waits
    lambda splitter, text: ((p := splitter._pieces(text)[:-1]), text[len("".join(p)):]),   # one piece waits
])
def test_waiting_for_less_would_be_noticed(planted):
    class Hasty(Splitter):
        _settled = planted

    text = "I'll say\n\n\nit's <|end|> l'l"
    streamed = [piece for pieces in Hasty(()).stream(list(text)) for piece in pieces]
    assert streamed != Splitter(()).split(text)


def test_pieces_come_as_soon_as_they_are_settled():
    taken = []

    def lines():
        for n in range(10**9):
            taken.append(n)
            yield "one two three\n"

    stream = Splitter(()).stream(lines())
    assert next(stream) == ["one", " two"] and taken == [0]


def test_the_work_is_linear_in_many_small_parts():
    class Counted(Splitter):
        seen = 0

        def _settled(self, text):
            self.seen += len(text)
            return super()._settled(text)

    for text in ("a" * 3000, "<|end|" * 500, " " * 3000, "one two " * 400):
        splitter = Counted(SPECIAL)
        list(splitter.stream(text))
        assert splitter.seen <= 40 * len(text)


def test_another_pattern_may_be_given():
    assert Splitter(["<s>"], r"\w+|\W").split("ab, c<s>") == ["ab", ",", " ", "c", "<s>"]


@pytest.mark.parametrize(("token", "error", "message"), [
    (3, TypeError, r"special_tokens\[1\] is 3; expected a string"),
    ("", ValueError, r"special_tokens\[1\] is ''; expected at least one character"),
    ("\udc00", ValueError, r"special_tokens\[1\]\[0\] is '\\udc00'; expected a character"),
])
def test_a_special_token_that_is_none_is_named(token, error, message):
    with pytest.raises(error, match=message):
        splitter.special(["<s>", token])


def test_one_string_is_not_a_list_of_special_tokens():
    with pytest.raises(TypeError, match=r"special_tokens is '<s>'; expected a sequence of strings"):
        splitter.special("<s>")


def test_a_special_token_named_twice_is_refused():
    assert splitter.special(["<a>", "<b>"]) == ("<a>", "<b>")
    with pytest.raises(ValueError, match=r"special_tokens\[2\] is .<a>.; expected another token than special_tokens"):
        splitter.special(["<a>", "<b>", "<a>"])


def test_a_part_that_is_no_text_is_named():
    stream = Splitter(()).stream(["a b c", b"x"])
    assert next(stream) == ["a"]
    with pytest.raises(TypeError, match=r"texts\[1\] is b'x'; expected a string"):
        next(stream)
