"""docs/architecture.md is true: its law is the one that is tested, and its trace is what a step really calls."""
import re
import sys
from pathlib import Path

import pytest

import rlscratch
import test_imports
import tiny_policy as tiny
from rlscratch.tasks import addition
from rlscratch.train.language import grpo
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy

PACKAGE = Path(rlscratch.__file__).resolve().parent
TEXT = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
FILES, HOPS = 9, 12                 # at most: more than that nobody follows


def rows(title):
    """The cells of the table under the heading that begins so."""
    section, = re.findall(rf"^## {title}.*?(?=^## |\Z)", TEXT, re.M | re.S)
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in section.splitlines() if line.startswith("|")][2:]


def words(cell):
    return re.findall("`(.*?)`", cell)


TRACE = [(file.strip("`"), function.strip("`"), words(through)) for _, file, function, through, _ in rows("One step")]


# ---------------------------------------------------------------- the law

def test_the_law_of_rooms_is_the_one_that_is_tested():
    written = {room: set(words(allowed)) for names, allowed in rows("The law") for room in words(names)}
    above = {room for names, allowed in rows("The law") if allowed == "everything" for room in words(names)}
    law = dict(test_imports.LAW)
    assert law.pop("train") == set(written) - above - {"train", "documents", *written.pop("train")}
    assert {room: allowed for room, allowed in written.items() if room not in above} == law
    assert above == test_imports.ABOVE - {"__init__"}


# ---------------------------------------------------------------- the trace

@pytest.fixture(scope="module")
def called():
    """(file, function) -> its callers when it was first called, the nearest first; in the order of first calls."""
    some = tiny.world("addition", task=lambda: addition.task(9))
    chat = some.chat()
    begun = Stages(Policy(some.model(chat), chat, some.recipe.max_new_tokens))
    # A policy that has learned nothing earns nothing, and answers that all earn the same teach by their KL alone.
    settings = grpo.METHOD.settings(some, groups=2, group=3, beta=0.04)
    learner, found = grpo.METHOD.begin(some, some.stream("grpo"), begun, **settings), {}

    def note(frame, event, _):
        place = of(frame)
        if event == "call" and place and place not in found:
            found[place] = list(filter(None, callers(frame)))

    sys.setprofile(note)
    try:
        learner.step()
    finally:
        sys.setprofile(None)
    return found


def callers(frame):
    while frame := frame.f_back:
        yield of(frame)


def of(frame):
    """File and function of a frame in our package; one inside another goes by its own name, a lambda by its home's."""
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(PACKAGE):
        return None
    names = [name.strip(".") for name in re.split(r"<\w+>", frame.f_code.co_qualname)]
    return str(path.relative_to(PACKAGE)), ([name for name in names if name] or ["<lambda>"])[-1]


def test_each_function_is_called_and_first_calls_come_in_the_order_of_the_table(called):
    order = list(called)
    places = [order.index((file, function)) for file, function, _ in TRACE]
    assert places == sorted(places)


@pytest.mark.parametrize(("file", "function", "through"), TRACE[1:])
def test_nothing_but_what_is_named_lies_between_a_hop_and_one_before_it(file, function, through, called):
    before = [hop[:2] for hop in TRACE[:[hop[:2] for hop in TRACE].index((file, function))]]
    between = []
    for caller in called[file, function]:
        if caller in before:
            break
        if caller not in between:           # a comprehension is a frame of its own up to Python 3.11
            between.insert(0, caller)
    else:
        pytest.fail("no hop before it calls it")
    assert [name for _, name in between] == through
    assert {file for file, _ in between} <= {hop[0] for hop in TRACE}


def test_the_counts_are_right_and_small():
    hops, small = len(TRACE) - 1, {name for _, _, through in TRACE for name in through}
    files = {file for file, _, _ in TRACE}
    assert f"{len(files)} files, {hops} hops and {len(small)} small functions" in " ".join(TEXT.split())
    assert len(files) <= FILES and hops <= HOPS
    assert [row[0] for row in rows("One step")] == ["start", *map(str, range(1, hops + 1))]


# ---------------------------------------------------------------- names

def test_every_file_that_is_named_exists():
    named = set(re.findall(r"`([\w/]+(?:/|\.(?:py|h|md)))`", TEXT))
    assert len(named) > 20
    roots = [PACKAGE, PACKAGE.parent, PACKAGE / "train" / "language"]
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


def test_every_entry_of_the_ledger_that_is_named_exists():
    named = set(re.findall(r"`(S\d\.[\w.]+)`", TEXT))
    assert named and named <= {entry.id for entry in rlscratch.documents.entries()}
