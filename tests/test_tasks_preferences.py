"""The preference world: the gold reward of any text, by a table that can be counted by hand, and a teacher.

The worked sheet, to the instruction "thank Ann for the cake":

    hello Ben thank you for the the cake please kindly truly     cake 2, Ben -1, polite 2, truly -1, the the -1: 1
    hello Ann thank you for the cake, and n polite words         4 5 6 5 4 3 1 -1 -3  for n = 0 .. 8
"""
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.bpe import Tokenizer
from rlscratch.tasks import preferences
from rlscratch.tasks.preferences import CORES, INSTRUCTIONS, PEOPLE, POLITE, THINGS, gold, parts, task, teacher

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

POINTS, BEST, VOCABULARY = preferences.POINTS, preferences.BEST, preferences.VOCABULARY
CAKE = "thank Ann for the cake"
WORKED = "hello Ben thank you for the the cake please kindly truly"
GOOD = "hello Ann thank you for the cake"
FULL = "see you soon all is well take care we miss"                 # with "thanks for" twelve words

SHEET = [
    (GOOD, {"person": 2, "thing": 2}),
    ("", {"verb": -1}),
    ("Ann", {"person": 2, "verb": -1}),
    ("thanks for the cake", {"thing": 2}),
    ("thanks Ann Ann cake", {"person": 2, "thing": 2, "repetition": -1}),
    ("thanks Ann cake Ann cake", {"person": 2, "thing": 2}),
    ("thanks Ben goat Ben", {"wrong": -3}),
    ("thanks Ann Ben", {"person": 2, "wrong": -1}),
    ("thank", {}), ("thanks", {}), ("i thank", {}),
    ("beware of that", {"verb": -1}),                                # of another instruction
    ("thanks please", {"polite": 1}),
    ("thanks please for kindly", {"polite": 2}),
    ("thanks please for please", {"polite": 2}),
    ("thanks please for kindly that truly", {"polite": 2, "flattery": -1}),
    ("thanks please please please please", {"polite": 2, "flattery": -2, "repetition": -3}),
    (f"thanks for {FULL}", {}),
    (f"thanks for that {FULL}", {"length": -1}),
    (f"thanks for that day {FULL}", {"length": -2}),
    ("thanks thanks", {"repetition": -1}), ("thanks for thanks", {}), ("thanks for for for", {"repetition": -2}),
    ("thanks Bob", {"noise": -1}), ("thanks ann", {"noise": -1}), ("thanks cake.", {"noise": -1}),
    ("Thanks", {"verb": -1, "noise": -1}), ("<|end|> \x00", {"verb": -1, "noise": -2}),
    ("  thanks \n\t for\u00a0that ", {}),
    (WORKED, {"thing": 2, "wrong": -1, "polite": 2, "flattery": -1, "repetition": -1}),
]

words = st.lists(st.sampled_from(sorted(VOCABULARY)) | st.sampled_from(POLITE) | st.text(max_size=4), max_size=20)
answers = words.map(" ".join) | st.text()
prompts = st.sampled_from(sorted(INSTRUCTIONS))


def found(answer, prompt=CAKE):
    return {part: points for part, points in parts(prompt, answer).items() if points}


# ---------------------------------------------------------------- the gold reward

@pytest.mark.parametrize(("answer", "expected"), SHEET)
def test_the_points_of_an_answer_counted_by_hand(answer, expected):
    assert found(answer) == expected
    assert gold(CAKE, answer) == sum(expected.values())


@pytest.mark.parametrize("part", list(POINTS))
def test_the_sheet_would_notice_a_part_with_other_points(part, monkeypatch):
    monkeypatch.setitem(POINTS, part, -POINTS[part])
    assert any(found(answer) != expected for answer, expected in SHEET)
    monkeypatch.setitem(POINTS, part, 0.0)
    assert any(found(answer) != expected for answer, expected in SHEET)


@pytest.mark.parametrize("name", ["WELCOME", "ENOUGH"])
@pytest.mark.parametrize("step", [-1, 1])
def test_the_sheet_would_notice_another_limit(name, step, monkeypatch):
    monkeypatch.setattr(preferences, name, getattr(preferences, name) + step)
    assert any(found(answer) != expected for answer, expected in SHEET)


def test_with_more_polite_words_gold_climbs_then_turns_down():
    spoken = [" ".join([GOOD, *(POLITE[i % len(POLITE)] for i in range(n))]) for n in range(9)]
    assert [gold(CAKE, answer) for answer in spoken] == [4, 5, 6, 5, 4, 3, 1, -1, -3]


@given(prompts, answers)
@example(CAKE, "")
@example(CAKE, WORKED)
@example(CAKE, "please " * 5000)
def test_every_text_has_a_gold_reward_a_whole_number_at_most_the_best(prompt, answer):
    points = parts(prompt, answer)
    value = gold(prompt, answer)
    assert list(points) == list(POINTS) and value == sum(points.values())
    assert type(value) is float and value == int(value) and value <= BEST == 6
    assert all(type(p) is float and np.signbit(p) == (p < 0) for p in points.values())      # and no -0
    assert all((p == 0) or np.sign(p) == np.sign(POINTS[part]) for part, p in points.items())


@given(prompts, words, st.randoms())
def test_of_the_order_of_words_repetitions_alone_are_counted(prompt, words, random):
    before = parts(prompt, " ".join(words))
    random.shuffle(words)
    after = parts(prompt, " ".join(words))
    assert {**after, "repetition": before["repetition"]} == before


@given(prompts, answers, st.sampled_from(POLITE))
def test_one_polite_word_more_is_worth_1_up_to_the_second_and_costs_from_then_on(prompt, answer, word):
    had = answer.split()
    polite = sum(one in POLITE for one in had)
    cost = (len(had) >= 12) + (had[-1:] == [word])
    assert gold(prompt, f"{answer} {word}") - gold(prompt, answer) == (1 if polite < 2 else -1) - cost


def test_every_instruction_can_be_carried_out_in_each_of_its_ways():
    for prompt, (verb, person, thing) in INSTRUCTIONS.items():
        for phrase in CORES[verb].values():
            assert gold(prompt, f"hello {person} {phrase} the {thing} please kindly") == BEST
    for verb, phrases in CORES.items():
        for word, phrase in phrases.items():
            assert word in phrase.split()
            others = [f"{other} Ann {preferences.PREPOSITION[other]} the cake" for other in CORES if other != verb]
            assert all(parts(prompt, phrase)["verb"] == -1 for prompt in others)


# ---------------------------------------------------------------- words

def test_there_are_2400_instructions_of_few_words():
    assert len(INSTRUCTIONS) == 5 * len(PEOPLE) * len(THINGS) == 2400
    assert INSTRUCTIONS[CAKE] == ("thank", "Ann", "cake")
    assert len(VOCABULARY) < 120 and all(word.isalpha() and word.isascii() for word in VOCABULARY)
    kinds = [*PEOPLE, *THINGS, *POLITE, *(word for phrases in CORES.values() for word in phrases)]
    assert len(set(kinds)) == len(kinds)                              # no word counts as two things


def test_a_word_is_a_token():
    world, rng = task(), np.random.default_rng(0)
    spoken = world.demonstrations(world.prompts, rng)
    text = "\n".join(line for pair in zip(world.prompts, spoken, strict=True) for line in pair)
    tokenizer = Tokenizer.train(text, 500)
    for line in text.split("\n"):
        assert len(tokenizer.encode(line)) == len(line.split())


# ---------------------------------------------------------------- the teacher

SLOTS = [f"(?P<slot{n}>(?: (?:{'|'.join(POLITE)}))*)" for n in range(3)]
GRAMMAR = re.compile(
    f"(?: (?:{'|'.join(preferences.GREETINGS)})(?: (?P<greeted>{'|'.join(PEOPLE)}))?)?{SLOTS[0]}"
    f"(?: (?P<phrase>{'|'.join(phrase for ways in CORES.values() for phrase in ways.values())}))?"
    f" (?:that|the (?P<thing>{'|'.join(THINGS)}))(?: (?P<last>{'|'.join(PEOPLE)}))?{SLOTS[1]}"
    f"(?P<closings>(?: (?:{'|'.join(preferences.CLOSINGS)})){{0,2}}){SLOTS[2]}")


def parsed(answer):
    """The match of the grammar with an answer in which no word comes twice in a row."""
    spoken = answer.split()
    once = (word for before, word in zip(["", *spoken], spoken, strict=False) if word != before)
    return GRAMMAR.fullmatch(" " + " ".join(once))


@given(prompts, st.integers(0, 10**6))
def test_the_teacher_speaks_by_the_grammar(prompt, seed):
    answer = teacher(prompt, np.random.default_rng(seed))
    assert answer == teacher(prompt, np.random.default_rng(seed))
    spoken = answer.split()
    assert answer == " ".join(spoken) and VOCABULARY.issuperset(spoken)
    assert spoken[0] not in PEOPLE + THINGS
    points = parts(prompt, answer)
    assert points["repetition"] in (0, -1) and points["noise"] == 0
    match = parsed(answer)
    assert match and not (match["greeted"] and match["last"])
    assert match["phrase"] is None or match["phrase"] in CORES[INSTRUCTIONS[prompt][0]].values()
    polite = [word for word in spoken if word in POLITE]
    assert len(polite) == len(set(polite)) <= 3


class Planted(np.random.Generator):
    """A generator whose next numbers are given."""

    def __init__(self, *numbers):
        super().__init__(np.random.PCG64(0))
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)

    def integers(self, high):
        assert 0 <= self.numbers[0] < high
        return self.numbers.pop(0)


@pytest.mark.parametrize("shares", [preferences.POLITENESS, preferences.ENDINGS, (0.7, 0.2, 0.1), (1.0,)])
def test_a_count_has_exactly_its_shares(shares):
    counted = Counter(preferences._count(shares, Planted((i + 0.5) / 1000)) for i in range(1000))
    assert [counted[n] for n in range(len(shares))] == [round(1000 * share) for share in shares]
    assert_allclose(sum(shares), 1)
    assert preferences._count(shares, Planted(1 - 2.0**-53)) == len(shares) - 1


def test_7_of_10_are_right_2_another_and_1_nobody():
    drawn = [[preferences._named("Ben", PEOPLE, Planted((i + 0.5) / 10, k)) for k in range(19)] for i in range(10)]
    assert drawn == [["Ben"] * 19] * 7 + [[person for person in PEOPLE if person != "Ben"]] * 2 + [[""] * 19]


def test_the_teacher_s_answers_are_as_the_module_says():
    world, rng = task(), np.random.default_rng(0)
    asked = [prompt for prompt in world.held_out[:500] for _ in range(16)]
    spoken = world.demonstrations(asked, rng)
    g = world.rewards(asked, spoken)
    best_of = [g.reshape(-1, n).max(axis=1).mean() for n in (4, 16)]
    assert_allclose([g.mean(), g.std(), *best_of], [2.8, 2.0, 4.7, 5.55], rtol=0, atol=0.08)
    assert_allclose(world.accuracy(asked, spoken), 0.05, rtol=0, atol=0.01)
    lengths = np.array([len(answer.split()) for answer in spoken])
    assert_allclose(lengths.mean(), 8.8, rtol=0, atol=0.08)
    assert_allclose((lengths > 12).mean(), 0.09, rtol=0, atol=0.01)
    assert len({word for answer in spoken for word in answer.split()}) == 87
    polite = Counter(sum(word in POLITE for word in answer.split()) for answer in spoken)
    assert 0.01 < polite[3] / len(spoken) < 0.03 and max(polite) == 3
    closed = [match for match in map(parsed, spoken) if match["closings"]]
    placed = np.array([sum(len(match[f"slot{n}"].split()) for match in closed) for n in range(3)])
    assert_allclose(placed / placed.sum(), 1 / 3, rtol=0, atol=0.03)


# ---------------------------------------------------------------- the task

def test_the_task_pays_gold_and_right_is_the_best():
    world = task()
    assert world.name == "preferences"
    assert world.demonstrations([CAKE], np.random.default_rng(3)) == [teacher(CAKE, np.random.default_rng(3))]
    for answer, expected in SHEET:
        assert world.reward(CAKE, answer) == sum(expected.values())
        assert world.check(CAKE, answer) is (sum(expected.values()) == BEST)
    assert world.check(CAKE, f"{GOOD} please kindly") is True


def test_a_seed_orders_the_prompts_and_moves_none_across():
    worlds = [task(seed) for seed in (0, 0, 1)]
    assert worlds[0].prompts == worlds[1].prompts != worlds[2].prompts
    assert worlds[0].held_out == worlds[1].held_out != worlds[2].held_out
    for world in worlds:
        assert set(world.prompts) == set(worlds[0].prompts) and len(world.prompts) == 1316
        assert set(world.held_out) == set(worlds[0].held_out) and len(world.held_out) == 1084
        assert {*world.prompts, *world.held_out} == set(INSTRUCTIONS)
        for side in (world.prompts, world.held_out):
            few = [INSTRUCTIONS[prompt] for prompt in side[:200]]
            assert [len(set(kind)) for kind in zip(*few, strict=True)] == [5, 20, 24]        # of all kinds


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize("function", [parts, gold, teacher])
@pytest.mark.parametrize("prompt", ["", "thank Ann", "thank Ann of the cake", "Thank Ann for the cake", None, ["a"]])
def test_what_is_no_instruction_is_named(function, prompt):
    message = rf"^prompt is {re.escape(repr(prompt))}; expected an instruction .* such as 'ask Ann for the bag'$"
    with pytest.raises(ValueError, match=message):
        function(prompt, np.random.default_rng(0) if function is teacher else "")


@pytest.mark.parametrize("function", [parts, gold])
@pytest.mark.parametrize("answer", [None, b"thanks", ["thanks"], 3])
def test_an_answer_that_is_no_text_is_named(function, answer):
    with pytest.raises(TypeError, match=rf"^answer is {re.escape(repr(answer))}; expected a text$"):
        function(CAKE, answer)


def test_a_teacher_without_a_generator_and_a_seed_that_is_none_are_named():
    with pytest.raises(TypeError, match=r"^rng is 0; expected a numpy.random.Generator"):
        teacher(CAKE, 0)
    with pytest.raises(ValueError, match=r"^seed is -1; expected an integer >= 0"):
        task(-1)
