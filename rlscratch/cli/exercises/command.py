"""rlscratch check: mark one exercise, show what is done, or mark a class.

    rlscratch check exercises/07_ppo_clip.py      what fails, in a sentence, or that all holds
    rlscratch check --progress                    all of them, a line each
    rlscratch check --class FOLDER                a folder for each student; FOLDER/marks.csv
"""
import argparse
import csv
import functools
import os
import textwrap
from collections.abc import Iterable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from rlscratch import check
from rlscratch.cli.exercises import alone, catalogue
from rlscratch.cli.exercises.marks import BEGUN, RIGHT, Mark
from rlscratch.files import write_atomic
from rlscratch.report.table import table
from rlscratch.tasks.code import DAY

COLUMNS = ("student", "exercise", "state", "said")
WIDTH = 112             # of a line of a sentence
NAMES = {f"{exercise.name}.py" for exercise in catalogue.EXERCISES}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch check`."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="an exercise that you solved")
    parser.add_argument("--progress", nargs="?", type=Path, const=catalogue.SHIPPED, metavar="FOLDER",
                        help="all exercises of a folder, a line each (the folder when it is left out: exercises/)")
    parser.add_argument("--class", dest="students", type=Path, metavar="FOLDER",
                        help="mark the exercises of each folder in this one, a student each")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where --class writes (default: FOLDER/marks.csv)")
    parser.add_argument("--seconds", type=float, default=alone.SECONDS, help="how long a function may take")


def run(args: argparse.Namespace) -> int:
    """Mark and print; 0 if all that was asked for is done, else 1.

    Raises ValueError for a name that no exercise has and a folder without exercises, FileNotFoundError.
    """
    check.between(0.001, DAY, seconds=args.seconds)
    if (args.progress is not None) + (args.students is not None) + bool(args.files) != 1:
        given = "given with another of the three" if args.files or args.students or args.progress else "missing"
        raise ValueError(f"FILE is {given}; expected files of exercises, such as exercises/01_softmax.py, or "
                         "--progress or --class in their place")
    if args.csv is not None and args.students is None:
        check.fail("--csv", str(args.csv), "a file together with --class")
    if args.students is not None:
        return _class(args.students, args.csv or args.students / "marks.csv", args.seconds)
    for file in args.files:
        catalogue.of(file)
        file.stat()
    files = args.files or exercises_in(args.progress)
    if not files:
        check.fail("--progress", str(args.progress), "a folder that holds exercises, such as 01_softmax.py")
    marks = all_marked(files, args.seconds)
    print(progress(files, marks) if args.progress is not None else "\n".join(map(told, files, marks)))
    if args.progress is not None and (said := _strangers(args.progress)):
        print(said)
    return int(any(mark.state != RIGHT for mark in marks))


def told(file: Path, mark: Mark) -> str:
    """A mark in lines.

    >>> print(told(Path("01_softmax.py"), Mark("not yet", ("sign: the answer is right but for its sign",))))
    01_softmax.py: not yet
        sign: the answer is right but for its sign
    """
    exercise = catalogue.of(file)
    claims = f"{len(exercise.cases)} claims hold" + (", and the laws of the referee" if exercise.like else "") + (
        f", and the proofs of formulas.{exercise.proofs[0]}" if alone.provable(exercise) else "")
    said = (textwrap.fill(sentence, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
            for sentence in mark.sentences or [claims])
    return "\n".join([f"{file.name}: {mark.state}", *said])


def progress(files: Sequence[Path], marks: Sequence[Mark]) -> str:
    """What is done, a line each, and how many."""
    rows = [(mark.state, file.name, catalogue.of(file).call if mark.state == BEGUN else
             (mark.sentences[0] if mark.sentences else "")) for file, mark in zip(files, marks, strict=True)]
    done = sum(mark.state == RIGHT for mark in marks)
    return f"{table(('', 'exercise', ''), rows)}\n\n{done} of {len(catalogue.EXERCISES)} done"


def exercises_in(folder: Path) -> list[Path]:
    """The exercises anywhere in a folder, in their order; of two with one name a file, the one nearer to the top."""
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("[0-9][0-9]_*.py"), key=lambda file: (not file.is_file(), len(file.parts), file)):
        if file.name in NAMES:
            found.setdefault(file.name, file)
    return [found[name] for name in sorted(found)]


def all_marked(files: Iterable[Path], seconds: float) -> list[Mark]:
    """Their marks, a process each, two at a time."""
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        try:
            return list(pool.map(functools.partial(alone.marked, seconds=seconds), files))
        except BaseException:                   # Ctrl-C, say, which reaches no other group
            for group in tuple(alone.running):
                alone.end(group)
            raise


def _class(folder: Path, path: Path, seconds: float) -> int:
    """Mark every student, print a line each, write the table; 0 if all have done all."""
    students = sorted(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
    if not students:
        check.fail("--class", str(folder), "a folder with a folder for each student")
    if path.is_dir() or not os.access(path.parent, os.W_OK):        # before an hour of marking, and not after it
        check.fail("--csv", str(path), "a file in a folder that is there and can be written to")
    work = {student.name: exercises_in(student) for student in students}
    files = [(student, file) for student, mine in work.items() for file in mine]
    marks = all_marked([file for _, file in files], seconds)
    rows = [(student, file.stem, mark.state, " | ".join(mark.sentences))
            for (student, file), mark in zip(files, marks, strict=True)]
    rows += [(student, "", BEGUN, "no exercise is handed in") for student, mine in work.items() if not mine]

    def write(part: Path) -> None:
        with open(part, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            _rows(file, rows)

    write_atomic(path, write)
    done = {student: sum(row[0] == student and row[2] == RIGHT for row in rows) for student in work}
    handed = {student: sum(file.is_file() for file in mine) for student, mine in work.items()}
    print(table(("student", "done", "handed in"), [(name, done[name], handed[name]) for name in work]))
    print("".join(f"\n{student.name}: {said}" for student in students if (said := _strangers(student))))
    print(f"{path}: {_many(files, 'mark')} of {_many(work, 'student')}")
    return int(any(count < len(catalogue.EXERCISES) for count in done.values()))


def _strangers(folder: Path) -> str:
    """How many files of Python have no exercise's name, and the first of them; "" if none has."""
    other = sorted(file.name for file in folder.rglob("*.py") if file.name not in NAMES and not any(
        part.startswith(".") for part in file.relative_to(folder).parts))
    first = ", ".join(other[:3] + ["..."] * (len(other) > 3))
    return f"{_many(other, 'file')} without an exercise's name, not marked: {first}" if other else ""


def _many(things: Sized, name: str) -> str:
    """How many, in words.

    >>> _many([], "mark"), _many(["anna"], "student")
    ('0 marks', '1 student')
    """
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _rows(file: TextIO, rows: Sequence[Sequence[str]]) -> None:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
