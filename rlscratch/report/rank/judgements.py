"""What is asked of people who rank answers, and what they said: files of lines of JSON.

    asked   {"prompt": "1+1=", "completions": ["2", "3", "two"]}        or the prompt alone: a model answers it
    said    {"prompt": "1+1=", "completions": ["2", "3", "two"], "ranking": [1, 2, 1], "who": "Ann",
             "when": "2026-11-29T00:24:16+00:00", "shown": [2, 0, 1]}

The second is a file of preferences (train.language.data).  ranking is the place of each completion, from 1 for the
best; equal places tie, and null is what the person skipped.  shown is the order on the screen: here the third
completion stood first.  A line is on the disk before anybody is told that it is saved.

Everybody is asked the same prompts in the same order, so that early ones are ranked by several people, which is what
agreement is measured on.  The order of the answers is drawn anew for each person and prompt, from the seed.

Source: document 002, step 2.  Leaves out: changing what was said; passwords, so whoever gives a name has it.
"""
import fcntl
import json
import os
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.files import append_line
from rlscratch.train.language import data

ASKED = '{"prompt": "..."} or {"prompt": "...", "completions": [...]}'
SAID = '{"prompt": "...", "completions": [...], "ranking": [...], "who": "..."}'
LONGEST = 60                    # letters of a name


@dataclass(frozen=True)
class Question:
    """A prompt and the answers to rank; none: they are still to be drawn."""

    prompt: str
    completions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What one person said of the answers to one prompt: their places, the least for the best; None: skipped."""

    who: str
    question: Question
    places: tuple[int, ...] | None


def questions(path: Path) -> list[Question]:
    """What a file asks.  Raises ValueError, naming the line, for a prompt that comes twice and for equal answers."""
    found: dict[str, Question] = {}
    for line in data.lines(path, ASKED):
        prompt, answers = line.text("prompt"), line.fields.get("completions", [])
        if prompt in found:
            line.fail(f"the prompt {prompt!r:.80} has come before", "prompts that differ")
        if "completions" in line.fields and (not isinstance(answers, list) or len(answers) < 2):
            line.fail(f'the field "completions" is {json.dumps(answers):.80}', "a list of at least two texts")
        answers = [line.said(f"completions[{i}]", answer) for i, answer in enumerate(answers)]
        if len(set(answers)) < len(answers):
            line.fail(f'the field "completions" is {json.dumps(answers):.80}', "answers that differ")
        found[prompt] = Question(prompt, tuple(answers))
    return list(found.values())


def read(path: Path, asked: Sequence[Question] | None = None) -> Iterator[Judgement]:
    """What a file says, line by line; a last line that is half written is left out, with a warning.

    asked  what could be asked, with answers; None: anything

    Raises ValueError, naming the line, for another prompt or other answers, and for a ranking that is none.
    """
    known = None if asked is None else {question.prompt: question for question in asked}
    for line in data.lines(path, SAID, half=True):
        prompt, who = line.text("prompt"), line.text("who")
        line.value("completions")
        answers, places = data.ranked(line)
        if known is not None and prompt not in known:
            line.fail(f"the prompt {prompt!r:.80} is unknown", f"one of the {len(known)} that are asked now")
        question = Question(prompt, tuple(answers)) if known is None else known[prompt]
        if question.completions != tuple(answers):
            line.fail(f"the answers to {prompt!r:.80} are not those of now",
                      "the prompts, the model and the seed that they came from, or another file to write to")
        yield Judgement(who, question, None if places is None else tuple(places))


def table(found: Sequence[Judgement]) -> tuple[list[str], list[Question], Array]:
    """Who judged what how, as formulas.annotators takes it: names (J), questions (N), places (N, J, K).

    nan where somebody skipped or was not asked; of a prompt that one judged twice, the last.
    Raises ValueError for questions with different numbers of answers.
    """
    names, asked = (list(dict.fromkeys(getattr(one, field) for one in found)) for field in ("who", "question"))
    counts = {len(question.completions) for question in asked}
    if len(counts) != 1:
        check.fail("the numbers of answers", sorted(counts), "one, the same for all prompts")
    places = np.full((len(asked), len(names), *counts), np.nan)
    for one in found:
        places[asked.index(one.question), names.index(one.who)] = np.nan if one.places is None else one.places
    return names, asked, places


class Judgements:
    """A file that people's judgements go to, for all the threads of one process; others are kept out by a lock.

    path   made if it is not there
    asked  questions with answers

    Raises ValueError as `read` does, and where another process writes to the file; then it is as it was.
    """

    def __init__(self, path: Path, asked: Sequence[Question], seed: int = 0) -> None:
        self.path, self.asked, self.seed, self.lock = path, list(asked), seed, threading.Lock()
        self.said: dict[str, set[int]] = {}                             # by name, the places of questions
        place = {question.prompt: n for n, question in enumerate(asked)}
        self._held = _locked(path)
        try:
            for one in read(path, asked):
                self.said.setdefault(one.who, set()).add(place[one.question.prompt])
            _mend(path)
        except BaseException:
            self._held.close()
            raise

    def close(self) -> None:
        """Wait for a line that is being written, and let others write."""
        with self.lock:
            self._held.close()

    @property
    def count(self) -> int:
        """Judgements in the file, one a person and prompt."""
        return sum(map(len, self.said.values()))

    def next(self, who: str) -> dict[str, Any]:
        """What a person is asked now, with the answers in the order of the screen; "number" is None at the end.

        Raises ValueError for a name that is none.
        """
        done = self.said.get(named(who), set())
        number = next((n for n in range(len(self.asked)) if n not in done), None)
        about = {"who": named(who), "done": len(done), "total": len(self.asked), "number": number}
        if number is None:
            return about
        question = self.asked[number]
        return about | {"prompt": question.prompt,
                        "answers": [question.completions[i] for i in self._order(about["who"], number)]}

    def add(self, who: str, number: int, places: Sequence[int] | None) -> None:
        """Write down one judgement; what was judged before is left as it is, since a browser may ask twice.

        number  of the question, as `next` says it
        places  of the answers in the order of the screen, the least for the best; None: skipped

        Raises ValueError or TypeError for what is no judgement; OSError where it cannot be written.
        """
        who = named(who)
        question = self.asked[check.integer(0, len(self.asked) - 1, number=number)]
        order, ranking = self._order(who, number), None
        if places is not None:
            if not isinstance(places, list) or len(places) != len(order) or not all(
                    type(place) is int and 1 <= place <= len(order) for place in places):
                check.fail("places", places, f"{len(order)} whole numbers from 1 to {len(order)}")
            of = {place: n for n, place in enumerate(sorted(set(places)), 1)}
            ranking = [of[place] for _, place in sorted(zip(order, places, strict=True))]
        with self.lock:
            done = self.said.setdefault(who, set())
            if number in done:
                return
            append_line(self.path, {
                "prompt": question.prompt, "completions": question.completions, "ranking": ranking, "who": who,
                "when": datetime.now(UTC).isoformat(timespec="seconds"), "shown": order}, sync=True)
            done.add(number)

    def _order(self, who: str, number: int) -> list[int]:
        """Which answer stands first, second, ...: always the same for one person, prompt and seed."""
        rng = np.random.default_rng([self.seed, zlib.crc32(who.encode()), number])
        return rng.permutation(len(self.asked[number].completions)).tolist()


def named(who: str) -> str:
    """A name without superfluous spaces.  Raises ValueError or TypeError for what is no name.

    >>> named("  Ann   Lee ")
    'Ann Lee'
    """
    if not isinstance(who, str):
        check.fail("who", who, "a name", TypeError)
    who = " ".join(who.split())
    if not 0 < len(who) <= LONGEST or not who.isprintable():
        check.fail("who", who, f"a name of 1 to {LONGEST} letters")
    return who


def _locked(path: Path) -> BinaryIO:
    """The file, open to be appended to.  Raises ValueError where another process has it so."""
    held = open(path, "ab")                                             # noqa: SIM115  held as long as people judge
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        check.fail("out", str(path), "a file that no other process writes to; wait for its end, or give another")
    except OSError:
        print(f"rlscratch: the file system of {path} has no locks; let no other process write to it", file=sys.stderr)
    return held


def _mend(path: Path) -> None:
    """Let the file end with a whole line: a half one goes to FILE.half, and what lacks only its end is given it."""
    content = path.read_bytes()
    last = content[content.rfind(b"\n") + 1:]
    if not last:
        return
    try:
        json.loads(last)
    except ValueError:
        aside = path.with_name(path.name + ".half")
        with open(aside, "ab") as file:
            file.write(last + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.truncate(path, len(content) - len(last))
        print(f"rlscratch: the half line stands in {aside} now", file=sys.stderr)
    else:
        with open(path, "ab") as file:
            file.write(b"\n")
