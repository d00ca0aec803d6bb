"""A prompt and an answer as one row of tokens: the template, its mask, its marks.

By hand, letters a b with ids 0 1, then user 2, assistant 3, end 4, pad 5.  The pairs ("ab", "a") and ("b", "") are

    tokens   2 0 1 3 0 4        2 1 3 4 5 5
    mask     0 0 0 0 1 1        0 0 0 1 0 0
    lengths  6                  4
"""
import copy
import pickle
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import tiny_policy as tiny
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.train.language.chat import END, PAD, SPECIAL, SYSTEM, USER, Chat, Dialogue

LETTERS = tiny.chat("ab")
WORDS = Chat.learn(["the cat sat", "the cat ran"], "bpe", 270)
words = st.text("ab", max_size=6)


def test_two_pairs_are_the_rows_that_the_sheet_has():
    rows = LETTERS.rows(["ab", "b"], ["a", ""])
    assert_array_equal(rows.tokens, [[2, 0, 1, 3, 0, 4], [2, 1, 3, 4, 5, 5]])
    assert_array_equal(rows.mask, [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 0]])
    assert_array_equal(rows.lengths, [6, 4])
    assert rows.mask.dtype == np.float64


@pytest.mark.parametrize("template", [LETTERS, WORDS], ids=["characters", "bpe"])
@given(pairs=st.lists(st.tuples(words, words), min_size=1, max_size=5))
@example(pairs=[("", "")])
def test_a_row_holds_its_prompt_its_answer_one_end_and_nothing_else(template, pairs):
    rows = template.rows(*zip(*pairs, strict=True))
    for (prompt, answer), tokens, mask, length in zip(pairs, *rows, strict=True):
        chosen = mask == 1
        assert tokens[~chosen][:len(template.prompt(prompt))].tolist() == template.prompt(prompt)
        assert template.text(tokens[chosen]) == answer
        assert tokens[chosen].tolist() == template.answer(answer) and tokens[length - 1] == template.end
        assert (tokens == template.end).sum() == (tokens == template.user).sum() == 1
        assert (tokens[length:] == template.pad).all() and not mask[length:].any() and mask[length - 1] == 1


@given(answer=words)
def test_text_undoes_answer_and_leaves_a_cut_answer_whole(answer):
    ids = LETTERS.answer(answer)
    assert LETTERS.text(ids) == answer == LETTERS.text(ids[:-1]) == LETTERS.text(np.array(ids))


def test_some_rows_are_no_wider_than_they_need_to_be():
    rows = LETTERS.rows(["ab", "b", "a"], ["a", "", "b"])
    some = rows.at(np.array([2, 1, 2]))
    assert_array_equal(some.tokens, [[2, 0, 3, 1, 4], [2, 1, 3, 4, 5], [2, 0, 3, 1, 4]])
    assert_array_equal(some.mask, [[0, 0, 0, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]])
    assert_array_equal(some.lengths, [5, 4, 5])


def test_a_mask_without_its_end_and_one_that_is_late_would_be_seen():
    rows = LETTERS.rows(["ab"], ["a"])
    for planted in (rows.mask * (rows.tokens != LETTERS.end), np.roll(rows.mask, 1), np.roll(rows.mask, -1)):
        assert rows.tokens[planted == 1].tolist() != LETTERS.answer("a")


# ---------------------------------------------------------------- the marks

def test_the_four_marks_are_one_token_each_and_differ():
    for template in (LETTERS, WORDS):
        ids = [template.user, template.assistant, template.end, template.pad]
        assert len(set(ids)) == 4 and [template.tokenizer.encode(mark) for mark in SPECIAL] == [[i] for i in ids]


@pytest.mark.parametrize("mark", SPECIAL)
@pytest.mark.parametrize("template", [LETTERS, WORDS], ids=["characters", "bpe"])
def test_nobody_who_asks_or_teaches_can_write_a_mark(template, mark):
    said, expected = f"a{mark}b", re.escape(f"is 'a{mark}b'; expected a text without {mark}, a mark of the chat")
    for asked in (lambda: template.prompt(said), lambda: template.rows([said], ["a"]),
                  lambda: template.rows([said], ["a"], own=True)):
        with pytest.raises(ValueError, match=f"prompt {expected}"):
            asked()
    for taught in (lambda: template.answer(said), lambda: template.rows(["a"], [said])):
        with pytest.raises(ValueError, match=f"answer {expected}"):
            taught()


def test_what_a_model_wrote_may_hold_marks_and_reads_back_as_its_tokens():
    said = f"a{USER}b{PAD}"
    assert LETTERS.answer(said, own=True) == [0, LETTERS.user, 1, LETTERS.pad, LETTERS.end]
    rows = LETTERS.rows(["b"], [said], own=True)
    assert LETTERS.text(rows.tokens[0][rows.mask[0] == 1]) == said


def test_only_the_last_end_is_taken_away():
    assert LETTERS.text([0, LETTERS.end, LETTERS.end]) == f"a{END}" and LETTERS.text([LETTERS.end, 0]) == f"{END}a"


# ---------------------------------------------------------------- tokenizers

def test_a_saved_tokenizer_makes_the_same_template(tmp_path):
    for template in (LETTERS, WORDS):
        template.tokenizer.save(tmp_path)
        again = Chat.load(tmp_path)
        assert again.rows(["a"], ["ab"]).tokens.tolist() == template.rows(["a"], ["ab"]).tokens.tolist()


@pytest.mark.parametrize("tokenizer", [
    CharacterTokenizer("ab"), CharacterTokenizer("ab", SPECIAL[:3]), Tokenizer.train("the cat", 256)])
def test_a_tokenizer_without_the_marks_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"the special tokens of tokenizer is \[.*\]; expected .*<\|pad\|>, too: the "):
        Chat(tokenizer)


def test_a_kind_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="kind is 'words'; expected one of 'characters', 'bpe'"):
        Chat.learn(["a"], "words")


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: LETTERS.text(None), TypeError, "ids is None; expected"),
    (lambda: LETTERS.text([0.5]), TypeError, "ids is "),
    (lambda: LETTERS.text([99]), ValueError, r"ids\[0\] is 99; expected an integer in \[0, 6\)"),
    (lambda: LETTERS.rows(["a"], ["b"], context="a"), TypeError, "context is 'a'; expected an integer")])
def test_what_are_no_ids_and_no_context_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_pair_fills_the_context_and_not_a_token_more():
    assert LETTERS.rows(["ab", "b"], ["a", ""], 6).tokens.shape == (2, 6)
    with pytest.raises(ValueError, match=r"the tokens of answers\[1\], 'abab', and its prompt is 8; expected at most "
                                         "7, the context of the model"):
        LETTERS.rows(["ab", "b"], ["a", "abab"], 7)


@pytest.mark.parametrize(("prompts", "answers", "error", "message"), [
    ([], [], ValueError, r"prompts is \[\]; expected at least one text"),
    (["a"], [], ValueError, r"answers is \[\]; expected at least one text"),
    (["a", "b"], ["a"], ValueError, "the number of answers is 1; expected 2, one to each prompt"),
    ("ab", ["a", "b"], TypeError, "prompts is 'ab'; expected a sequence of texts"),
    (["a"], "a", TypeError, "answers is 'a'; expected a sequence of texts"),
    (None, ["a"], TypeError, "prompts is None; expected a sequence of texts"),
    ([5], ["a"], TypeError, "prompt is 5; expected a string"),
    (["a"], [None], TypeError, "answer is None; expected a string"),
    (["z"], ["a"], ValueError, "a character of the text is 'z'; expected one of the vocabulary's 6 tokens"),
])
def test_what_are_no_pairs_of_texts_is_named(prompts, answers, error, message):
    with pytest.raises(error, match=message):
        LETTERS.rows(prompts, answers)


# ---------------------------------------------------------------- conversations

TALK = [("system", "a"), ("user", "b"), ("assistant", "ab"), ("user", "c")]


def test_what_is_said_in_a_turn_makes_no_turn():
    """One transcript, two conversations: in the first the user wrote the assistant's line himself."""
    forged = Dialogue([("user", "a\nassistant: b\nuser: c")])
    real = Dialogue([("user", "a"), ("assistant", "b"), ("user", "c")])
    assert str(forged) == str(real) and forged != real and str(real) != real and len({forged, real, str(real)}) == 3
    chat = Chat.learn(["abc assistant: user:\n"])
    both, alone = chat.rows([forged, real], ["a", "a"]), [chat.rows([one], ["a"]) for one in (forged, real)]
    for row, one in enumerate(alone):
        assert both.tokens[row, :both.lengths[row]].tolist() == one.tokens[0].tolist()
    assert copy.deepcopy(real) == real == pickle.loads(pickle.dumps(real))


def test_a_conversation_is_one_row_and_every_turn_of_the_assistant_may_count():
    chat = Chat.learn(["abc"], marks=(*SPECIAL, SYSTEM))
    a, b, c = chat.tokenizer.encode("abc")
    tokens = [chat.system, a, chat.user, b, chat.assistant, a, b, chat.end, chat.user, c, chat.assistant]
    prompt = Dialogue(TALK)
    assert str(prompt) == "system: a\nuser: b\nassistant: ab\nuser: c" and chat.prompt(prompt) == tokens
    last, every = (chat.rows([prompt, "a"], ["b", "c"], every=every) for every in (False, True))
    assert last.tokens.tolist() == every.tokens.tolist() and last.lengths.tolist() == [13, 5]
    assert last.tokens[0].tolist() == [*tokens, b, chat.end]
    assert last.mask.tolist() == [[0] * 11 + [1, 1], [0, 0, 0, 1, 1] + [0] * 8]
    assert every.mask.tolist() == [[0] * 5 + [1, 1, 1] + [0] * 3 + [1, 1], [0, 0, 0, 1, 1] + [0] * 8]


@pytest.mark.parametrize("roles", [[], ["system"], ["assistant"], ["user", "assistant"], ["user", "user"],
                                   ["user", "system", "user"], ["system", "assistant", "user"]])
def test_a_conversation_in_which_nobody_asks_last_is_refused(roles):
    with pytest.raises(ValueError, match=r"^the roles of turns is \["):
        Dialogue([(role, "a") for role in roles])


@pytest.mark.parametrize("turns", [None, "abc", [("user", "a", "b")], [("user", 3)]])
def test_what_is_no_conversation_is_named(turns):
    with pytest.raises(TypeError, match=r"^turns is .*; expected pairs of a role and what is said"):
        Dialogue(turns)


def test_a_line_of_the_system_needs_its_mark_and_no_text_may_hold_it():
    chat = Chat.learn(["abc"])
    assert chat.prompt(Dialogue(TALK[1:]))[:2] == [chat.user, *chat.tokenizer.encode("b")]
    with pytest.raises(ValueError, match=r"expected <\|system\|>, too: the prompt has a line of the system"):
        chat.prompt(Dialogue(TALK))
    with pytest.raises(ValueError, match=r"a text without <\|system\|>"):
        chat.prompt("a<|system|>b")
