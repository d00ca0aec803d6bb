"""What users bring: prompts with a reward, demonstrations, preferences, labels, as Hugging Face's trainers take them.

    file              a line of it
    --prompts         {"prompt": "1+1=", "answer": "2"}              other fields go to the reward as columns
    --demonstrations  {"prompt": "1+1=", "completion": "2"}
                      {"messages": [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]}
    --preferences     {"prompt": "1+1=", "chosen": "2", "rejected": "3"}
                      {"prompt": "1+1=", "completions": ["3", "2"], "ranking": [2, 1]}    places; the least is the best,
                                                                        equal ones tie; null says nothing
    --labels          {"prompt": "1+1=", "completion": "2", "label": true}                or a number, a grade

A reward is called as TRL calls its reward_funcs, for many answers at once, with the columns of their prompts' lines:

    reward(prompts=["1+1=", ...], completions=["2", ...], answer=["2", ...]) -> [1.0, ...]

Where no reward is given, an answer that the files show as a good one earns 1 and any other text 0 (exact match).  An
answer is right, for accuracy, if it earns more than 0.  About a tenth of all prompts is held out, by tasks.task.split.

A tie prefers nothing: a ranking with one is read as the pairs that it does order, and null as none.

A line that will not do is an error that names file, line and field.  Only where people still rank, and a program was
killed in the middle of a line, is the last one of --preferences left out, with a warning.
Messages may begin with one of the system, and have several turns: all turns of the assistant are imitated.
Leaves out: tools, images; prompts and completions that are messages.
"""
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from typing import Any

from rlscratch import check
from rlscratch.check import Array
from rlscratch.tasks.task import RewardError, Task, failure, numbers, split
from rlscratch.train.language.chat import SPECIAL, SYSTEM, Dialogue

HELD_OUT = 0.1
RESERVED = ("prompts", "completions")           # what a reward is given besides columns
TEXTS = ("prompt", "completion", "chosen", "rejected", "completions", "messages")
Reward = Callable[..., Sequence[float]]


@dataclass(frozen=True)
class Data:
    """What the files of one run say, each empty where there is no such file.

    prompts   each prompt with the other fields of its line
    pairs     (prompt, answer): to imitate
    rankings  (prompt, answers), best first; and who said so, where the file tells
    labels    (prompt, answer, grade)
    files     where this stands, by the name of the option
    """

    prompts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    rankings: Sequence[tuple[Any, ...]] = ()
    labels: Sequence[tuple[str, str, float]] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether people say which answers are good."""
        return bool(self.rankings or self.labels)

    @cached_property
    def shown(self) -> list[tuple[str, str]]:
        """What is imitated: demonstrations, or else the answers that people like best."""
        best = max((grade for *_, grade in self.labels), default=0.0)
        return [*self.pairs] or [(prompt, answers[0]) for prompt, answers, *_ in self.rankings] or [
            (prompt, answer) for prompt, answer, grade in self.labels if grade == best]

    @property
    def answers(self) -> list[str]:
        """Every answer, good or bad."""
        return [*(answer for _, answer in self.pairs), *(answer for _, some, *_ in self.rankings for answer in some),
                *(answer for _, answer, _ in self.labels)]

    @cached_property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """All prompts of all files: those to train on, and those held out.  One side is empty where there are few."""
        said = (self.prompts, *([line[0] for line in lines] for lines in (self.pairs, self.rankings, self.labels)))
        train, held = split(dict.fromkeys(prompt for prompts in said for prompt in prompts), HELD_OUT)
        return (train, held) if train else (held, ())

    def holding(self, character: str) -> str | None:
        """Option, file and line of the first text that holds a character; None where no file has it."""
        return next((f"--{option} {line.where}" for option, path in self.files.items() for line in lines(path, "", True)
                     if any(character in text for text in line.texts(option))), None)

    def of(self, lines: Sequence[tuple], held_out: bool) -> list[tuple]:
        """The lines whose prompts are on that side; all of them where none is."""
        held = set(self.sides[1])
        return [line for line in lines if (line[0] in held) == held_out] or [*lines]


@dataclass(frozen=True)
class BatchTask(Task):
    """A task whose reward is asked for many answers at once.

    batch  (prompts, answers) -> a number each
    """

    batch: Callable[[Sequence[str], Sequence[str]], Sequence[float]] = field(kw_only=True)

    def rewards(self, prompts: Sequence[str], answers: Sequence[str]) -> Array:
        """The reward of each answer to the prompt beside it, float64."""
        try:
            given = self.batch(prompts, answers)
        except Exception as error:
            raise RewardError(f"the reward of {len(answers)} answers, first {answers[0]!r:.80} to the prompt "
                              f"{prompts[0]!r:.80}, is {failure(error)}; expected a finite number for each") from error
        return numbers(given, prompts, answers)

    def right(self, prompts: Sequence[str], answers: Sequence[str]) -> Array:
        """1 for each answer that earns more than 0, else 0; float64."""
        return (self.rewards(prompts, answers) > 0).astype(float)


def task(name: str, data: Data, reward: Reward | None = None) -> Task:
    """The task of prompts in files.

    reward  as --reward names it; None: exact match

    Raises ValueError for a reward that does not take what it is called with.
    """
    columns = list(dict.fromkeys(column for fields in data.prompts.values() for column in fields))
    good = set(data.shown)

    def batch(prompts: Sequence[str], answers: Sequence[str]) -> Sequence[float]:
        if reward is None:
            return [float(pair in good) for pair in zip(prompts, answers, strict=True)]
        lists = {name: [data.prompts.get(prompt, {}).get(name) for prompt in prompts] for name in columns}
        return reward(prompts=list(prompts), completions=list(answers), **lists)

    if reward is not None:
        _takes(reward, columns)
    asked, apart = tuple(data.prompts) or sum(data.sides, ()), set(data.sides[1])
    held = tuple(prompt for prompt in asked if prompt in apart)
    kept = tuple(prompt for prompt in asked if prompt not in apart)
    made = BatchTask(name, kept or held, lambda prompt, answer: made.rewards([prompt], [answer]).item(),
                     lambda prompt, answer: made.reward(prompt, answer) > 0, held_out=held if kept else (), batch=batch)
    return made


def _takes(reward: Reward, columns: Sequence[str]) -> None:
    try:
        inspect.signature(reward).bind(**dict.fromkeys((*RESERVED, *columns)))
    except TypeError as wrong:
        check.fail("reward_function", getattr(reward, "__name__", reward),
                   f"a function of {', '.join((*RESERVED, *columns))}, or with **columns for the rest: {wrong}")


# ---------------------------------------------------------------- files

def read(prompts: Path | None = None, demonstrations: Path | None = None, preferences: Path | None = None,
         labels: Path | None = None) -> Data:
    """What these files say.  Raises ValueError, naming the line, for one that will not do."""
    given = {"prompts": prompts, "demonstrations": demonstrations, "preferences": preferences, "labels": labels}
    return Data(read_prompts(prompts) if prompts else {}, read_demonstrations(demonstrations) if demonstrations else (),
                read_preferences(preferences) if preferences else (), read_labels(labels) if labels else (),
                {option: path for option, path in given.items() if path})


def read_prompts(path: Path) -> dict[str, dict[str, Any]]:
    """Each prompt with the other fields of its line."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines(path, '{"prompt": "..."}'):
        prompt, columns = line.text("prompt"), {name: value for name, value in line.fields.items() if name != "prompt"}
        for name in RESERVED:
            if name in columns:
                line.fail(f'the field "{name}" is there', "another name: the reward is given its own list of them")
        if prompt in found:
            line.fail(f"the prompt {prompt!r:.80} has come before", "prompts that differ")
        found[prompt] = columns
    return found


def read_demonstrations(path: Path) -> list[tuple[str, str]]:
    """(prompt, answer) of each line."""
    return [_conversation(line) if "messages" in line.fields else (line.text("prompt"), line.text("completion"))
            for line in lines(path, '{"prompt": "...", "completion": "..."} or {"messages": [...]}')]


def read_preferences(path: Path) -> list[tuple[Any, ...]]:
    """(prompt, answers) of each line, best first, with as many answers everywhere; and "who", where all lines have it.

    Where lines have ties, or more answers than others, each is taken apart into the pairs that it orders.
    """
    example = ('{"prompt": "...", "chosen": "...", "rejected": "..."} or {"prompt": "...", "completions": [...], '
               '"ranking": [...]}')
    found = []
    for line in lines(path, example, half=True):
        prompt, (answers, places) = line.text("prompt"), ranked(line)
        if places is not None:
            who = [str(line.fields["who"])] if "who" in line.fields else []
            found.append((prompt, sorted(zip(places, answers, strict=True), key=itemgetter(0)), who))
    if not all(who for *_, who in found):
        found = [(prompt, order, []) for prompt, order, _ in found]
    if len({len(order) for _, order, _ in found} | {len({place for place, _ in order}) for _, order, _ in found}) == 1:
        return [(prompt, [answer for _, answer in order], *who) for prompt, order, who in found]
    pairs = [(prompt, [better, worse], *who) for prompt, order, who in found
             for (place, better), (other, worse) in combinations(order, 2) if place < other]
    if not pairs:
        raise ValueError(f"{path}: no line prefers one answer to another; expected {example}, one a line")
    return pairs


def read_labels(path: Path) -> list[tuple[str, str, float]]:
    """(prompt, answer, grade) of each line; true is 1 and false is 0."""
    found = []
    for line in lines(path, '{"prompt": "...", "completion": "...", "label": true}'):
        label = line.value("label")
        if not isinstance(label, (bool, int, float)) or not abs(label) <= sys.float_info.max:
            line.fail(f'the field "label" is {json.dumps(label):.80}', "true, false or a finite number")
        found.append((line.text("prompt"), line.text("completion"), float(label)))
    return found


def _conversation(line: "Line") -> tuple[str, str]:
    """What was said before the assistant's last turn, and that turn."""
    messages = line.value("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        line.fail('the field "messages" is no list of objects', '[{"role": "user", "content": "..."}, ...]')
    roles = [one.get("role") for one in messages]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        line.fail(f'the roles of "messages" are {json.dumps(roles):.80}',
                  '["user", "assistant", ...] in turn, the assistant last, and before them one "system" or none')
    said = [Line(line.where, one, f'{{"role": "{one["role"]}", "content": "..."}}').text("content")
            for one in messages]
    prompt = said[0] if len(said) == 2 else Dialogue(zip(roles[:-1], said[:-1], strict=True))
    return prompt, said[-1]


def ranked(line: "Line") -> tuple[list[str], list[int] | None]:
    """The answers of a line and their places, the least for the best; None where the line says nothing of them."""
    if "completions" not in line.fields:
        return [line.text("chosen"), line.text("rejected")], [1, 2]
    answers, places = line.value("completions"), line.value("ranking")
    if not isinstance(answers, list) or len(answers) < 2:
        line.fail(f'the field "completions" is {json.dumps(answers):.80}', "a list of at least two texts")
    answers = [line.said(f"completions[{i}]", answer) for i, answer in enumerate(answers)]
    if places is not None and (not isinstance(places, list) or len(places) != len(answers)
                               or not all(type(place) is int for place in places)):
        line.fail(f'the field "ranking" is {json.dumps(places):.80}',
                  f"{len(answers)} whole numbers, the place of each completion, the least for the best; equal ones tie")
    return answers, places


# ---------------------------------------------------------------- lines

@dataclass(frozen=True)
class Line:
    """A line of a file: where it stands, its fields, and what a line of this kind looks like."""

    where: str
    fields: Mapping[str, Any]
    example: str

    def value(self, name: str) -> Any:
        """What a field holds."""
        if name not in self.fields:
            self.fail(f'the field "{name}" is missing', self.example)
        return self.fields[name]

    def text(self, name: str) -> str:
        """The text that a field holds."""
        return self.said(name, self.value(name))

    def texts(self, option: str) -> Iterator[str]:
        """What a model reads or writes of a line of that option's file: of --prompts the other fields are columns."""
        for name in ("prompt",) if option == "prompts" else TEXTS:
            value: Any = self.fields.get(name, ())
            for one in [value] if isinstance(value, str) else value:
                yield one["content"] if name == "messages" else one

    def said(self, name: str, value: Any) -> str:
        """The value of the field, or of a part of it, a text that can be trained on."""
        if not isinstance(value, str):
            self.fail(f'the field "{name}" is {json.dumps(value):.80}', "a text")
        for mark in (*SPECIAL, SYSTEM):
            if mark in value:
                self.fail(f'the field "{name}" holds {mark}', "a text without the marks of the chat template")
        if any("\ud800" <= character <= "\udfff" for character in value):
            self.fail(f'the field "{name}" holds half of a surrogate pair', "characters that UTF-8 can write")
        return value

    def fail(self, found: str, expected: str) -> None:
        """Raise ValueError with the house's sentence."""
        raise ValueError(f"{self.where}: {found}; expected {expected}")


def lines(path: Path, example: str, half: bool = False) -> Iterator[Line]:
    """The lines of a file but for empty ones.  Raises ValueError for one that is no JSON object, and for none.

    half  people still write to it: there may be none, and a last one that was begun and not finished is left out, with
          a warning on standard error; what does not begin as an object does is no such line
    """
    read = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        content = read.decode()
    except UnicodeDecodeError as wrong:
        if half and wrong.reason == "unexpected end of data":           # half of a character ends the file
            content = read[:wrong.start].decode()
        else:
            raise ValueError(
                f"{path}: byte {wrong.start} is no UTF-8; expected a text, {example} a line") from None
    found = 0
    for number, text in enumerate(content.split("\n"), 1):
        if not text.strip():
            continue
        line = Line(f"{path}, line {number}", {}, example)
        try:
            fields, found = json.loads(text), found + 1
        except ValueError as wrong:
            if half and number == 1 + content.count("\n") and text.startswith("{"):
                print(f"rlscratch: {line.where} is half written, and left out: {text!r:.60}", file=sys.stderr)
                continue
            line.fail(f"{text.strip()!r:.60} is no JSON ({wrong})", f"a whole line: {example}")
        if not isinstance(fields, dict):
            line.fail(f"{text.strip()!r:.60} is no object", f"{example}, one a line")
        yield Line(line.where, fields, example)
    if not found and not half:
        raise ValueError(f"{path}: no line; expected {example}, one a line")
