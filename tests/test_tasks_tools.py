"""A tool: how a call is written, what a bad one gives, and the task that has a calculator."""
import contextlib
import operator
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_policy as tiny
from rlscratch.tasks import tools
from rlscratch.tasks.task import Task
from rlscratch.train.language import worlds
from rlscratch.train.language.chat import WITH_TOOL, Chat
from rlscratch.train.language.policy import Policy

TASK = tools.task(20)
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
numbers = st.integers(0, 10**9 - 1)


# ---------------------------------------------------------------- the interpreter

@given(numbers, st.sampled_from("+-*"), numbers)
def test_the_calculator_calculates(a, sign, b):
    assert tools.calculator(f"{a}{sign}{b}") == tools.asked(tools.calculator, f"{a}{sign}{b}") == str(SIGNS[sign](a, b))


@pytest.mark.parametrize("call", ["", "2", "2**9", "1/0", "9999999999*1", "1+1+1", " 1+1", "1+1\n", "__import__('os')",
                                  "٣*٣", "1" * 33])
def test_another_call_has_an_error_for_a_result_and_raises_nothing(call):
    assert tools.asked(tools.calculator, call).startswith("error: ")


def slow(call):
    """One that takes its time where a call is long."""
    assert len(call) <= tools.LONGEST_CALL
    return "".join("x" for _ in range(2 ** min(len(call), 4)))


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("nope")


def raising(wrong):
    def tool(call):
        raise wrong

    return tool


def mute(_):
    raise Mute


class Base(BaseException):
    pass


class Loud(str):
    pass


def broken(call):
    raise RuntimeError("no\nline <|end|> of mine — is whole")


@pytest.mark.parametrize(("tool", "call", "result"), [
    (slow, "9" * 10**6, "error: 1000000 characters; expected at most 32"),      # it is never asked
    (slow, "9" * 9, 16 * "x"),
    (broken, "1", "error: no line <|end|> of mine ? is whole"),
    (lambda call: 7, "1", "error: the tool gave int, no text"),
    (lambda call: 10**6 * "x", "1", "error: a result of 1000000 characters"),
    (lambda call: 1 / 0, "1", "error: division by zero"),
    (lambda call: sys.exit(3), "1", "error: 3"),
    (lambda call: "a\x07b\tc", "1", "a?b c"),
    (mute, "1", "error: Mute"),
    (raising(Base("mine")), "1", "error: mine"), (raising(KeyboardInterrupt()), "1", "error:"),
    (raising(GeneratorExit("x")), "1", "error: x"),
    (lambda call: Loud("a"), "1", "error: the tool gave Loud, no text"),
    (lambda call: "", "1", ""),
])
def test_a_tool_that_fails_gives_its_error_and_one_that_would_be_long_is_not_asked(tool, call, result):
    begin = time.perf_counter()
    assert tools.asked(tool, call) == result and time.perf_counter() - begin < 1
    assert len(result) <= tools.LONGEST_RESULT and result.isascii()


@pytest.fixture
def asker(monkeypatch):
    """One of its own, soon out of patience; and what lets tools go that hang."""
    monkeypatch.setattr(tools, "SECONDS", 0.05)
    monkeypatch.setattr(tools, "_ask", tools._Asker())
    end = threading.Event()
    yield end
    end.set()


@pytest.mark.parametrize("kind", ["sleeps", "works", "tries again"])
def test_a_tool_that_hangs_is_left_behind_and_asked_again_when_it_comes_back(kind, asker):
    def hangs(call):
        while not asker.wait(0 if kind == "works" else 1000):
            pass
        return "late"

    def tries_again(call):
        while not asker.is_set():
            with contextlib.suppress(BaseException):
                asker.wait(1000)

    tool = tries_again if kind == "tries again" else hangs
    assert tools.asked(tool, "1") == "error: no result within 0.05 s"
    begin = time.perf_counter()
    assert [tools.asked(tools.calculator, "1+1") for _ in range(9)] == ["error: an earlier call has not come back"] * 9
    assert time.perf_counter() - begin < 1
    asker.set()
    for _ in range(500):
        if (said := tools.asked(tools.calculator, "1+1")) == "2":
            break
        time.sleep(0.01)
    assert said == "2"


def test_an_alarm_of_the_caller_s_stays(asker):
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000)
        assert tools.asked(tools.calculator, "3*4") == "12" and signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_any_thread_may_ask():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(tools.asked, tools.calculator, "2+2").result() == "4"


# ---------------------------------------------------------------- the task

def test_the_price_of_a_call_and_the_number_behind_the_last_result():
    question, call = "317*24=", tools.written(tools.calculator, "317*24")
    assert call == "<|tool|>317*24<|result|>7608<|assistant|>" and tools.worked(question) == call + "7608"
    for answer, right, reward in ((call + "7608", True, 0.75), ("7608", True, 1), (call + "760", False, -0.25),
                                  ("760", False, 0), (2 * call + "7608", True, 0.5), (call, False, -0.25)):
        assert (TASK.check(question, answer), TASK.reward(question, answer)) == (right, reward), answer
    assert tools.calls(2 * call) == 2 and tools.final("7608") == "7608"


def test_the_teacher_calls_half_of_the_time_and_knows_facts_alone():
    rng = np.random.default_rng(0)
    for question, best in (("7*8=", 1.0), (TASK.prompts[-1], 0.5)):
        said = [TASK.teacher(question, rng) for _ in range(2000)]
        assert np.mean([tools.calls(answer) for answer in said]) == pytest.approx(0.5, abs=0.04)
        assert np.mean([TASK.check(question, answer) for answer in said]) == pytest.approx(best, abs=0.04)


def test_facts_are_trained_on_and_large_products_are_on_both_sides():
    facts = [question for question in TASK.prompts if tools.known(question)]
    assert len(facts) == 81 and len(TASK.prompts) == 101 and len(TASK.held_out) == 20
    for question in (*TASK.prompts[81:], *TASK.held_out):
        assert re.fullmatch(r"[0-9]{3}\*[0-9]{2}=", question) and len(tools.calculator(question[:-1])) == 5


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: tools.task(0), ValueError, r"large is 0; expected an integer in \[1, 10000\]"),
    (lambda: tools.task(price=-1), ValueError, "price is -1; expected"),
    (lambda: Task("t", ("a",), lambda p, a: 0, lambda p, a: True, tool="bc"), TypeError, "tool is 'bc'; expected"),
    (lambda: tools.calculator("1+"), ValueError, r"call is '1\+'; expected two numbers and"),
])
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- in the template and in a policy

CHAT = Chat.learn(["317*24="], marks=WITH_TOOL)


def test_what_a_teacher_calls_is_learned_and_what_the_tool_says_is_not():
    answer = tools.worked("317*24=")
    rows = CHAT.rows(["317*24=", "317*24="], [answer, "9"])
    chosen = CHAT.tokenizer.decode(rows.tokens[0][rows.mask[0] == 1])
    assert chosen == "<|tool|>317*24<|result|>7608<|end|>"
    assert CHAT.tokenizer.decode(rows.tokens[0][rows.mask[0] == 0]) == "<|user|>317*24=<|assistant|>7608<|assistant|>"
    assert CHAT.text(CHAT.answer(answer)) == answer
    assert CHAT.chosen(CHAT.answer(answer, own=True)) == CHAT.chosen(CHAT.answer(answer))


def test_a_call_is_the_text_behind_the_last_mark_and_a_result_can_write_no_mark():
    ids = CHAT.answer("x" + tools.written(tools.calculator, "1+1"))
    until = ids[:ids.index(CHAT.result) + 1]
    assert CHAT.call(until) == "1+1" and CHAT.call([CHAT.result]) == "" and CHAT.call([CHAT.tool, *until]) == "1+1"
    heard = CHAT.heard("<|end|><|user|>")
    assert heard[-1] == CHAT.assistant and not {CHAT.end, CHAT.user, CHAT.assistant} & set(heard[:-1])


@pytest.mark.parametrize(("prompt", "answer"), [
    ("<|tool|>", "1"), ("<|result|>", "1"), ("1", "<|assistant|>2"), ("1", "<|tool|>2"), ("1", "<|result|>2"),
    ("1", "<|tool|>2<|result|>2<|end|>2"), ("1", "<|tool|>1<|tool|>2<|result|>2<|assistant|>3")])
def test_only_whole_calls_may_be_shown_and_nobody_who_asks_may_write_a_mark(prompt, answer):
    with pytest.raises(ValueError, match=r"a mark of the chat template"):
        CHAT.rows([prompt], [answer])


def test_a_chat_without_a_tool_knows_no_calls():
    plain = Chat.learn(["<|tool|>1<|result|>2"])
    assert plain.tool is None and plain.chosen(plain.answer("<|tool|>1<|result|>2")) == 21 * [1.0]
    with pytest.raises(ValueError, match=r"expected <\|tool\|> and <\|result\|>, too, for a policy that has a tool"):
        Policy(tiny.model(plain.tokenizer.vocab_size), plain, 2, tool=tools.calculator)


@pytest.mark.parametrize("tool", [tools.calculator, broken, lambda call: 7])
def test_a_policy_hears_the_result_or_the_error_and_answers_on(tool):
    """A policy of random weights calls wherever it likes; each result is what the tool says of what it wrote."""
    policy = Policy(tiny.model(CHAT.tokenizer.vocab_size, context=80, spread=0.02), CHAT, 70, tool=tool)
    found = policy.answer(["317*24="] * 200, np.random.default_rng(0))
    heard = 0
    for text, tokens, mask, length in zip(found.texts, *found.rows, strict=True):
        begin = tokens.tolist().index(CHAT.assistant) + 1
        answer, chosen = tokens[begin:length].tolist(), mask[begin:length]
        assert CHAT.text(answer) == text and chosen[-1] == 1
        places = tiny.results(CHAT, tool, answer)
        assert not any(chosen[place].any() for place in places)
        heard += len(places)
    assert heard >= 5                   # or the loop has looked at nothing


def test_the_world_of_a_task_with_a_tool_has_its_marks_and_hands_it_on():
    world = worlds.own(TASK)
    chat = world.chat()
    assert chat.tool is not None and chat.heard("error: ~{}") and world.recipe.max_new_tokens == 20
    assert worlds.make("products").task.tool is tools.calculator and worlds.make("cups").task.tool is None
