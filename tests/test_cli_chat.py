"""rlscratch sample as a conversation: what the model reads at each turn, and what comes out of the terminal.

The model has not learned anything: what is tested is the way from lines to ids and back.  Ids of the letters are
0 to 4, then the marks of the template.
"""
import io
import json
import sys

import numpy as np
import pytest

import tiny_policy as tiny
from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.cli import chat as cli
from rlscratch.cli.chat import Conversation
from rlscratch.files import write_json
from rlscratch.generate import Within, generate, stream
from rlscratch.tasks import tools
from rlscratch.train.language.chat import SPECIAL, SYSTEM, WITH_TOOL, Chat, Dialogue
from rlscratch.transformer import Config, Transformer


def saved(folder, tokenizer, context=40, vocab_size=None):
    size = vocab_size or tokenizer.vocab_size
    checkpoint.save(folder, Transformer(Config(size, context, 16, 2, 2), np.random.default_rng(0)))
    tokenizer.save(folder)
    return folder


@pytest.fixture
def answering(tmp_path):
    return saved(tmp_path / "sft", CharacterTokenizer("abcd\n", SPECIAL))


@pytest.fixture
def base(tmp_path):
    return saved(tmp_path / "base", CharacterTokenizer("abcd\n", ["<|eot|>"]))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def typed(monkeypatch, capsys, text, *argv, status=0, terminal=True):
    """What stands on standard output and on standard error after these lines."""
    monkeypatch.setattr(sys, "stdin", (Terminal if terminal else io.StringIO)(text))
    assert main(["sample", *map(str, argv)]) == status
    return capsys.readouterr()


def alone(capsys, *argv):
    assert main(["sample", "--quiet", *map(str, argv)]) == 0
    return capsys.readouterr().out


# ---------------------------------------------------------------- token by token

@pytest.mark.parametrize("knobs", [
    {}, {"temperature": 0.0}, {"temperature": 0.7, "top_k": 3}, {"repetition_penalty": 1.5}, {"stop": [2]}])
@pytest.mark.parametrize("inside", [None, [0, 2, 5]])
def test_the_stream_is_the_answer_of_generate(knobs, inside):
    model = Transformer(Config(7, 24, 16, 2, 2), np.random.default_rng(0))
    model = model if inside is None else Within(model, inside)
    for seed in range(3):
        whole = generate(model, [[1, 2, 3]], max_new_tokens=12, rng=np.random.default_rng(seed), **knobs)
        drawn = list(stream(model, [1, 2, 3], max_new_tokens=12, rng=np.random.default_rng(seed), **knobs))
        assert drawn == whole.answers[0]
    assert inside is None or set(drawn) <= set(inside)


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"max_new_tokens": 99}, {"stop": [7]}])
def test_a_stream_is_refused_at_the_call(wrong):
    model = Transformer(Config(7, 24, 16, 2, 2), np.random.default_rng(0))
    with pytest.raises(ValueError):
        stream(model, [1], **{"max_new_tokens": 2, "rng": np.random.default_rng(0), **wrong})


# ---------------------------------------------------------------- what the model reads

def test_turns_before_stand_in_front_as_the_template_s_rows():
    template = Chat(CharacterTokenizer("abcd\n", SPECIAL))
    model = Transformer(Config(template.tokenizer.vocab_size, 40, 16, 2, 2), np.random.default_rng(0))
    talked = Conversation(model, template.tokenizer, template, "d")
    first, room = talked.asked("ab")
    assert first == template.prompt("d\nab") and room == 40 - len(first)
    talked.answered("ab", [2, 2, template.end])
    talked.answered("c", [3])                                           # was cut off, has no end of its own
    ids, room = talked.asked("b")
    assert ids == [*first, 2, 2, template.end, *template.prompt("c"), 3, template.end, *template.prompt("b")]
    assert room == 40 - len(ids) and not talked.shorter


def test_the_oldest_turns_leave_a_full_context_and_the_system_stays():
    template = Chat(CharacterTokenizer("abcd\n", SPECIAL))
    model = Transformer(Config(template.tokenizer.vocab_size, 24, 16, 2, 2), np.random.default_rng(0))
    talked = Conversation(model, template.tokenizer, template, "d")
    for text in ("ab", "bc"):
        talked.answered(text, [0, 0, template.end])
    ids, room = talked.asked("c")
    assert ids == [*template.prompt("d\nbc"), 0, 0, template.end, *template.prompt("c")]
    assert talked.shorter and room == 24 - len(ids) >= 6                # a quarter of the context at least
    assert talked.asked("c", 14)[0] == template.prompt("d\nc")
    with pytest.raises(ValueError, match="the number of tokens of the text is 34; expected at most 23"):
        talked.asked("a" * 30)


def test_a_model_without_marks_goes_on_from_all_that_was_said():
    tokenizer = CharacterTokenizer("abcd\n")
    model = Transformer(Config(tokenizer.vocab_size, 12, 16, 2, 2), np.random.default_rng(0))
    talked = Conversation(model, tokenizer)
    talked.answered("ab", [2, 3])
    said = [*tokenizer.encode("ab"), 2, 3, *tokenizer.encode("b")]
    assert talked.asked("b") == (said, 7)
    assert talked.asked("b", 9) == (said[-3:], 9) and talked.shorter
    with pytest.raises(ValueError, match="expected at least one token"):
        Conversation(model, tokenizer).asked("")


# ---------------------------------------------------------------- the terminal

@pytest.mark.parametrize("which", ["answering", "base"])
def test_the_same_seed_says_the_same_in_a_chat_as_to_a_prompt(which, request, monkeypatch, capsys):
    folder = request.getfixturevalue(which)
    for seed in range(3):
        options = ("--run-dir", folder, "--seed", seed, "--max-new-tokens", 9)
        said = alone(capsys, *options, "--prompt", "abc")
        out, err = typed(monkeypatch, capsys, "abc\n", *options)
        assert out == "> " + said.removeprefix("abc" if which == "base" else "") + "> \n" and err == ""


def test_a_conversation_without_a_terminal_needs_the_option(answering, monkeypatch, capsys):
    options = ("--run-dir", answering, "--max-new-tokens", 5)
    out, err = typed(monkeypatch, capsys, "ab\n", *options, status=2, terminal=False)
    assert "expected a text: this model answers what it is asked" in err and out == ""
    out, err = typed(monkeypatch, capsys, "ab\n\ncd\n\n\nnever\n", "--chat", *options, terminal=False)
    assert ">" not in out.replace("<|", "").replace("|>", "") and err == ""
    first = alone(capsys, *options, "--prompt", "ab")
    assert out.startswith(first) and len(out) > len(first)


def test_the_system_line_stands_in_front_of_a_prompt_too(answering, monkeypatch, capsys):
    options = ("--run-dir", answering, "--max-new-tokens", 9, "--seed", 3)
    whole = alone(capsys, *options, "--prompt", "d\nab")
    assert alone(capsys, *options, "--system", "d", "--prompt", "ab") == whole
    assert typed(monkeypatch, capsys, "ab\n", *options, "--system", "d").out == f"> {whole}> \n"


def test_a_full_context_is_said_once(answering, monkeypatch, capsys):
    err = typed(monkeypatch, capsys, "abcd\n" * 8, "--run-dir", answering, "--max-new-tokens", 12).err
    assert err == "rlscratch: the context is full; from here on the oldest of what was said is left out\n"


def test_what_the_tokenizer_does_not_know_is_one_line_and_the_chat_goes_on(answering, monkeypatch, capsys):
    out, err = typed(monkeypatch, capsys, "xyz\n<|end|>\nab\n", "--run-dir", answering, "--max-new-tokens", 3)
    assert err.count("rlscratch: ") == err.count("\n") == 2 and "'x'" in err and out.count("> ") >= 4


def test_ctrl_c_ends_the_answer_and_not_the_chat(answering, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        for n, token in enumerate(stream(*args, **kwargs)):
            if n == 2:
                raise KeyboardInterrupt
            yield token

    options = ("--run-dir", answering, "--max-new-tokens", 20, "--seed", 1)
    whole = alone(capsys, *options, "--prompt", "abc")
    monkeypatch.setattr(cli, "stream", interrupted)
    out = typed(monkeypatch, capsys, "abc\nabc\n", *options).out
    begun = out.split("\n")[0].removeprefix("> ")
    assert 0 < len(begun) < len(whole) and whole.startswith(begun) and out.endswith("> \n")


def test_a_letter_of_several_tokens_is_shown_when_it_is_whole(monkeypatch, capsys):
    tokenizer = Tokenizer.train("é" * 3, 256)
    ids = tokenizer.encode("aéb")
    assert len(ids) == 4
    shown = []
    monkeypatch.setattr("builtins.print", lambda *args, **kwargs: shown.append(args[0]))
    assert cli._say(iter(ids), tokenizer.decode) == ids
    assert shown == ["a", "", "é", "b", ""]


def test_a_vocabulary_padded_beyond_its_tokenizer_says_nothing_that_is_no_token(tmp_path, monkeypatch, capsys):
    folder = saved(tmp_path / "padded", CharacterTokenizer("abcd\n", SPECIAL), vocab_size=64)
    out, err = typed(monkeypatch, capsys, "abc\nab\n", "--run-dir", folder, "--max-new-tokens", 10)
    assert err == "" and out.startswith("> ")


@pytest.mark.parametrize(("option", "value"), [("--prompt", "ab"), ("--n", "2"), ("--beams", "2"), ("--json", None)])
def test_what_a_chat_does_not_have_is_refused(option, value, answering, capsys):
    assert main(["sample", "--run-dir", str(answering), "--chat", option, *filter(None, [value])]) == 2
    assert f"{option} is {2 if value == '2' else repr(value or True)}; expected no such option beside --chat" in (
        capsys.readouterr().err)


@pytest.fixture
def calling(tmp_path):
    """The folder of a model of random weights, which calls wherever it likes, as a run on "products" leaves it."""
    chat = Chat.learn(["317*24="], marks=WITH_TOOL)
    checkpoint.save(tmp_path, tiny.model(chat.tokenizer.vocab_size, context=80, spread=0.02))
    chat.tokenizer.save(tmp_path)
    write_json(tmp_path / "config.json", {"command": "train sft", "task": "products"})
    (tmp_path / "own.py").write_text("def shout(call):\n    return f'{len(call)}!'\nfive = 5\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize("own", [False, True])
def test_calls_are_given_to_the_tool_and_their_results_stand_in_the_answer(own, calling, monkeypatch, capsys):
    argv = ["--run-dir", calling, "--tool", f"{calling / 'own.py'}:shout"][:4 if own else 2]
    tool = (lambda call: f"{len(call)}!") if own else tools.calculator
    printed = alone(capsys, *argv, "--prompt", "1+1=", "--n", 140, "--max-new-tokens", 70, "--json")
    answers = [answer["ids"] for answer in json.loads(printed)["answers"]]
    assert sum(len(tiny.results(Chat.load(calling), tool, ids)) for ids in answers) >= 5
    said = typed(monkeypatch, capsys, "1+1=\n", *argv, "--max-new-tokens", 70, "--seed", 1).out
    assert said.strip("> \n") == alone(capsys, *argv, "--prompt", "1+1=", "--max-new-tokens", 70, "--seed", 1).strip()


@pytest.mark.parametrize(("option", "value", "says"), [
    ("--beams", "2", "--beams is 2; expected no such option for a model with a tool"),
    ("--tool", "own.py:five", "--tool is 5; expected a function of the text of a call"),
    ("--tool", "none.py:f", "none.py:f is 'none.py'; expected a file that is there")])
def test_what_does_not_fit_a_tool_is_one_line(option, value, says, calling, monkeypatch, capsys):
    monkeypatch.chdir(calling)
    assert main(["sample", "--run-dir", str(calling), "--prompt", "1", option, value]) == 2
    assert capsys.readouterr().err.startswith(f"rlscratch: {says}")


def test_a_model_that_calls_nothing_has_no_tool(answering, capsys):
    assert main(["sample", "--run-dir", str(answering), "--prompt", "a", "--tool", "own.py:f"]) == 2
    assert "--tool is 'own.py:f'; expected nothing: this model has not learned" in capsys.readouterr().err


def test_a_model_that_has_learned_the_mark_of_the_system_is_told_so():
    template = Chat.learn(["abcd"], marks=(*SPECIAL, SYSTEM))
    model = Transformer(Config(template.tokenizer.vocab_size, 24, 16, 1, 2), np.random.default_rng(2))
    talk = Conversation(model, template.tokenizer, template, "d")
    ids, _ = talk.asked("ab")
    assert ids == template.prompt(Dialogue([("system", "d"), ("user", "ab")])) and ids[0] == template.system
    talk.answered("ab", [0])
    assert talk.asked("c")[0] == [*ids, 0, template.end, *template.prompt("c")]
