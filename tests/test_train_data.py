"""What users bring, read: each format, and each way in which a line will not do, with file, line and field."""
import json

import pytest

from rlscratch.tasks.task import RewardError, split
from rlscratch.train.language import data
from rlscratch.train.language.data import Data


def written(folder, *lines, name="x.jsonl"):
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}
SYSTEM = {"role": "system", "content": "be kind"}


@pytest.mark.parametrize(("read", "lines", "found"), [
    (data.read_prompts, [{"prompt": "a"}, "", {"prompt": "b", "answer": 2, "why": None}],
     {"a": {}, "b": {"answer": 2, "why": None}}),
    (data.read_demonstrations, [{"prompt": "a", "completion": "b", "id": 7}, {"messages": [USER, ASSISTANT]}],
     [("a", "b"), ("hi", "ho")]),
    (data.read_preferences, [{"prompt": "a", "chosen": "b", "rejected": "c"}], [("a", ["b", "c"])]),
    (data.read_preferences, [{"prompt": "a", "completions": ["b", "c", "d"], "ranking": [3, 1, 2]}],
     [("a", ["c", "d", "b"])]),
    (data.read_preferences, [{"prompt": "a", "completions": ["b", "c"], "ranking": [1, 0]},
                             {"prompt": "a", "completions": ["b", "c", "d"], "ranking": [0, 1, 2]}],
     [("a", ["c", "b"]), ("a", ["b", "c"]), ("a", ["b", "d"]), ("a", ["c", "d"])]),
    (data.read_preferences, [{"prompt": "a", "completions": ["b", "c", "d"], "ranking": None},
                             {"prompt": "a", "completions": ["b", "c", "d"], "ranking": [3, 1, 2]}],
     [("a", ["c", "d", "b"])]),
    (data.read_preferences, [{"prompt": "a", "completions": ["b", "c", "d"], "ranking": [2, 1, 2], "who": "Ann"},
                             {"prompt": "e", "completions": ["f", "g", "h"], "ranking": [3, 2, 1]},
                             {"prompt": "a", "completions": ["b", "c", "d"], "ranking": [7, 7, 7]},
                             {"prompt": "a", "completions": ["b", "c", "d"], "ranking": None}],
     [("a", ["c", "b"]), ("a", ["c", "d"]), ("e", ["h", "g"]), ("e", ["h", "f"]), ("e", ["g", "f"])]),
    (data.read_labels, [{"prompt": "a", "completion": "b", "label": True},
                        {"prompt": "a", "completion": "", "label": False},
                        {"prompt": "a", "completion": "d", "label": -2.5}],
     [("a", "b", 1.0), ("a", "", 0.0), ("a", "d", -2.5)]),
], ids=["prompts", "demonstrations", "pairs", "rankings", "rankings of two lengths", "skipped", "ties",
        "labels"])
def test_each_format_is_read_as_the_trainers_of_hugging_face_have_it(read, lines, found, tmp_path):
    assert read(written(tmp_path, *lines)) == found


def test_a_conversation_of_several_turns_is_a_prompt_with_its_last_answer(tmp_path):
    [(prompt, answer)] = data.read_demonstrations(written(tmp_path, {"messages": [SYSTEM, USER, ASSISTANT, USER,
                                                                                  {**ASSISTANT, "content": "bye"}]}))
    assert answer == "bye" and str(prompt) == "system: be kind\nuser: hi\nassistant: ho\nuser: hi"
    assert prompt.turns == (("system", "be kind"), ("user", "hi"), ("assistant", "ho"), ("user", "hi"))


PROMPTS, DEMONSTRATIONS, PREFERENCES, LABELS = (
    data.read_prompts, data.read_demonstrations, data.read_preferences, data.read_labels)


@pytest.mark.parametrize(("read", "line", "says"), [
    (PROMPTS, {"text": "a"}, 'the field "prompt" is missing; expected {"prompt": "..."}'),
    (PROMPTS, {"prompt": 7}, 'the field "prompt" is 7; expected a text'),
    (PROMPTS, {"prompt": [USER]}, 'the field "prompt" is [{"role": "user", "content": "hi"}]; expected a text'),
    (PROMPTS, {"prompt": "first"}, "the prompt 'first' has come before; expected prompts that differ"),
    (PROMPTS, {"prompt": "a", "completions": 1}, 'the field "completions" is there; expected another name'),
    (PROMPTS, {"prompt": "<|end|>"}, 'the field "prompt" holds <|end|>; expected a text without the marks'),
    (PROMPTS, '{"prompt": "\\ud800"}', 'the field "prompt" holds half of a surrogate pair; expected characters'),
    (PROMPTS, '{"prompt": "ab', "'{\"prompt\": \"ab' is no JSON (Unterminated string"),
    (PROMPTS, '["a"]', "'[\"a\"]' is no object; expected {\"prompt\": \"...\"}, one a line"),
    (DEMONSTRATIONS, {"prompt": "a"}, 'the field "completion" is missing; expected {"prompt": "...", "completion"'),
    (DEMONSTRATIONS, {"messages": "a"}, 'the field "messages" is no list of objects; expected [{"role": "user"'),
    (DEMONSTRATIONS, {"messages": [USER]}, 'the roles of "messages" are ["user"]; expected ["user", "assistant", '),
    (DEMONSTRATIONS, {"messages": [USER, ASSISTANT, USER]}, "in turn, the assistant last, and before them one "),
    (DEMONSTRATIONS, {"messages": [SYSTEM]}, 'the roles of "messages" are ["system"]; expected'),
    (DEMONSTRATIONS, {"messages": [USER, ASSISTANT, SYSTEM, USER, ASSISTANT]}, 'are ["user", "assistant", "system", '),
    (DEMONSTRATIONS, {"messages": [USER, {"role": "assistant"}]}, 'the field "content" is missing; expected {"role": '
     '"assistant", "content": "..."}'),
    (PREFERENCES, {"prompt": "a", "chosen": "b"}, 'the field "rejected" is missing; expected {"prompt": "...", "c'),
    (PREFERENCES, {"prompt": "a", "completions": ["b"], "ranking": [1]}, 'the field "completions" is ["b"]; expec'),
    (PREFERENCES, {"prompt": "a", "completions": ["b", 7], "ranking": [1, 2]}, 'the field "completions[1]" is 7; exp'),
    (PREFERENCES, {"prompt": "a", "completions": ["<|end|>", "b"], "ranking": [1, 2]},
     'the field "completions[0]" holds <|end|>; expected a text without the marks'),
    (PREFERENCES, '{"prompt": "a", "completions": ["b", "\\ud800"], "ranking": [1, 2]}',
     'the field "completions[1]" holds half of a surrogate pair; expected characters'),
    (PREFERENCES, {"prompt": "a", "completions": ["b", "c"]}, 'the field "ranking" is missing'),
    (PREFERENCES, {"prompt": "a", "completions": ["b", "c"], "ranking": [1, True]},
     'the field "ranking" is [1, true]; expected 2 whole numbers, the place of each completion, the least for the'),
    (PREFERENCES, {"prompt": "a", "completions": ["b", "c"], "ranking": "12"}, 'the field "ranking" is "12"; expec'),
    (PREFERENCES, {"prompt": "a", "completions": ["b", "c"], "ranking": [1]}, 'the field "ranking" is [1]; expected '),
    (LABELS, {"prompt": "a", "completion": "b"}, 'the field "label" is missing; expected {"prompt": "...", "comp'),
    (LABELS, {"prompt": "a", "completion": "b", "label": "yes"}, 'the field "label" is "yes"; expected true, false'),
    (LABELS, '{"prompt": "a", "completion": "b", "label": NaN}', 'the field "label" is NaN; expected true, false'),
])
def test_a_line_that_will_not_do_is_named_with_its_file_and_its_field(read, line, says, tmp_path):
    first = {"prompt": "first", "completion": "x", "chosen": "x", "rejected": "y", "label": True}
    if read is PROMPTS:
        first = {"prompt": "first"}
    path = written(tmp_path, first, "", line)
    with pytest.raises(ValueError) as wrong:
        read(path)
    assert str(wrong.value).startswith(f"{path}, line 3: ") and says in str(wrong.value)


@pytest.mark.parametrize(("content", "says"), [
    (b"", ": no line; expected {\"prompt\": \"...\"}, one a line"), (b"\n \n", ": no line; expected"),
    (b"\xff", ": byte 0 is no UTF-8; expected a text")])
def test_a_file_without_a_line_is_no_data(content, says, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError) as wrong:
        data.read_prompts(path)
    assert str(wrong.value).startswith(f"{path}{says}")


def test_line_ends_of_windows_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n{"prompt": "b"}\r\n')
    assert list(data.read_prompts(path)) == ["a", "b"]


def test_a_last_line_that_is_half_written_is_left_out_with_a_warning_of_preferences_alone(tmp_path, capsys):
    whole = json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"})
    path = tmp_path / "x.jsonl"
    path.write_text(f'{whole}\n{whole}\n{whole[:20]}', "utf-8")
    assert data.read_preferences(path) == [("a", ["b", "c"])] * 2
    assert capsys.readouterr().err == (
        f"rlscratch: {path}, line 3 is half written, and left out: '{{\"prompt\": \"a\", \"cho'\n")
    path.write_bytes(f"{whole}\n{whole[:20]}".encode() + "é".encode()[:1])             # within a character
    assert len(data.read_preferences(path)) == 1 and "line 2 is half written" in capsys.readouterr().err
    path.write_text(f"{whole}\n{whole}", "utf-8")                       # whole, but for the end of the line
    assert len(data.read_preferences(path)) == 2 and capsys.readouterr().err == ""
    for content, says in ((f"{whole}\n{whole[:20]}\n", "line 2: .* is no JSON"), (whole[:20], "no line prefers"),
                          (f"{whole[:20]}\n{whole}", "line 1: .* is no JSON")):
        path.write_text(content, "utf-8")
        with pytest.raises(ValueError, match=says):
            data.read_preferences(path)
    path.write_text('{"prompt": "a"}\n{"pro', "utf-8")
    with pytest.raises(ValueError, match=r"line 2: .* is no JSON"):
        data.read_prompts(path)


def test_a_file_that_prefers_nothing_is_no_data(tmp_path):
    path = written(tmp_path, {"prompt": "a", "completions": ["b", "c"], "ranking": [1, 1]},
                   {"prompt": "a", "completions": ["b", "c"], "ranking": None})
    with pytest.raises(ValueError, match=r"no line prefers one answer to another; expected \{"):
        data.read_preferences(path)


# ---------------------------------------------------------------- the task of files

MANY = [f"prompt {n}" for n in range(200)]


def test_a_reward_is_asked_once_for_all_answers_with_the_columns_of_their_prompts():
    asked = []

    def reward(prompts, completions, answer, **columns):
        asked.append((prompts, completions, answer, columns))
        return [float(c == a) for c, a in zip(completions, answer, strict=True)]

    task = data.task("x", Data({"a": {"answer": "1", "hint": "h"}, "b": {"answer": "2"}}), reward)
    assert task.rewards(["b", "a", "b"], ["2", "2", "1"]).tolist() == [1.0, 0.0, 0.0]
    assert asked == [(["b", "a", "b"], ["2", "2", "1"], ["2", "1", "2"], {"hint": [None, "h", None]})]
    assert task.accuracy(["a", "b"], ["1", "3"]) == 0.5 and len(asked) == 2
    assert task.reward("a", "1") == 1.0 and task.check("a", "1") is True and task.check("a", "x") is False


@pytest.mark.parametrize(("reward", "says"), [
    (lambda prompts, completions: [1.0], r"the rewards have the shape \(1,\); expected the shape \(2,\)"),
    (lambda prompts, completions: [1.0, None], "the reward of the answer 'y' to the prompt 'b' is nan; expected a "),
    (lambda prompts, completions: "good", "the rewards are 'good'; expected the shape"),
    (lambda prompts, completions: [1 / 0],
     f"the reward of 2 answers, first 'x' to the prompt 'a', is an error in {__file__}, line "),
])
def test_a_reward_that_fails_is_told_with_prompt_and_answer(reward, says):
    with pytest.raises(RewardError, match=says):
        data.task("x", Data({"a": {}, "b": {}}), reward).rewards(["a", "b"], ["x", "y"])


@pytest.mark.parametrize("reward", [lambda prompts, completions: [], lambda texts, **columns: []])
def test_a_reward_that_does_not_take_the_columns_is_found_before_it_is_called(reward):
    with pytest.raises(ValueError, match="expected a function of prompts, completions, answer, or with"):
        data.task("x", Data({"a": {"answer": 1}}), reward)


def test_without_a_reward_what_the_files_show_earns_1():
    shown = Data(pairs=[("a", "1"), ("a", "2"), ("b", "3")])
    ranked = Data(rankings=[("a", ["1", "0"]), ("a", ["2", "1"]), ("b", ["3", "1"])])
    graded = Data(labels=[("a", "1", 5.0), ("a", "2", 5.0), ("b", "3", 5.0), ("b", "1", 4.0)])
    for found in (shown, ranked, graded):
        task = data.task("x", found)
        assert task.rewards(["a", "a", "b", "b"], ["1", "2", "3", "1"]).tolist() == [1.0, 1.0, 1.0, 0.0]
        assert task.teacher is None and set(task.prompts) | set(task.held_out) == {"a", "b"}


def test_a_prompt_lies_on_the_same_side_whatever_file_it_is_in():
    train, held = split(MANY, data.HELD_OUT)
    found = Data({prompt: {} for prompt in MANY[:100]}, pairs=[(prompt, "x") for prompt in MANY[50:]])
    assert set(found.sides[0]) == set(train) and set(found.sides[1]) == set(held)
    assert {prompt for prompt, _ in found.of(found.pairs, held_out=False)} == set(MANY[50:]) - set(held)
    assert {prompt for prompt, _ in found.of(found.pairs, held_out=True)} == set(MANY[50:]) & set(held)
    task = data.task("x", found)
    assert set(task.prompts) == set(MANY[:100]) - set(held) and set(task.held_out) == set(MANY[:100]) & set(held)


@pytest.mark.parametrize("prompt", MANY[:40])
def test_a_single_prompt_is_trained_on_wherever_its_hash_lies(prompt):
    found = Data({prompt: {}}, rankings=[(prompt, ["x", "y"])])
    assert data.task("x", found).prompts == (prompt,)
    assert found.of(found.rankings, held_out=False) == found.of(found.rankings, held_out=True) == [(prompt, ["x", "y"])]
