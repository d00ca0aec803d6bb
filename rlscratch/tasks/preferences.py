"""A world in which what people want is known: answers, their gold reward, and who shows how.

RLHF trains a policy on a reward model, which stands in for people.  Of people's real wishes there is no
formula, so nobody can say how far the stand-in is wrong, or when a policy begins to live off its faults.
Here the wish is a formula, `gold`.  Labellers (tasks.labellers) rank by it with noise, the reward model
(the proxy) sees their rankings alone, and the policy sees the reward model alone; gold is then what is
measured, and what no training on preferences may look at.

An instruction names a person and a thing, "thank Ann for the cake": 5 verbs, 20 people and 24 things make
2,400, of which `tasks.task.split` holds out 1,084.  An answer is any text, read as words between white
space.  Its gold reward is the sum of

    part        points                                                               at most
    person         2     the person of the instruction is named                         2
    thing          2     its thing is named                                             2
    wrong         -1     for each word that names another person or thing               0
    polite         1     for each of the first two polite words                         2
    flattery      -1     for each polite word after the second                          0
    length        -1     for each word after the twelfth                                0
    repetition    -1     for each word that is the one before it once more              0
    verb          -1     if no word of CORES carries out the instruction                0
    noise         -1     for each word that is not in VOCABULARY                        0

so every text has one, a whole number and at most BEST = 6; the empty text has -1.  By hand:

    thank Ann for the cake  ->  hello Ben thank you for the the cake please kindly truly

names the cake, 2, and Ben, -1; of three polite words two are welcome, 2, and one is not, -1; "the"
comes twice, -1; eleven words are not too many.  Together 1:

>>> answer = "hello Ben thank you for the the cake please kindly truly"
>>> {part: points for part, points in parts("thank Ann for the cake", answer).items() if points}
{'thing': 2.0, 'wrong': -1.0, 'polite': 2.0, 'flattery': -1.0, 'repetition': -1.0}
>>> gold("thank Ann for the cake", answer), gold("thank Ann for the cake", "thanks Ann please kindly cake")
(1.0, 6.0)

The trap is in the polite words.  The first two raise gold and the others lower it, but the teacher
draws a third in 2 of 100 answers and never a fourth.  From rankings of such answers a reward model
learns that polite words are good and next to nothing of too many, the less the fewer rankings it saw;
a policy that trusts it without restraint goes where no labeller has been.  With n polite words in

    hello Ann thank you for the cake please kindly ...         7 + n words, n different in turn

    n       0    1    2    3    4    5    6    7    8
    gold    4    5    6    5    4    3    1   -1   -3

each one beyond the second costs 1, beyond the twelfth word 2: the proxy climbs, gold turns down.

The teacher shows how an answer is written, not how a good one is: it names the right person in 7 of
10 answers, somebody else in 2 and nobody in 1, and the same of the thing, whatever else it gets right.
Measured on 20,000 of its answers to held-out instructions:

    gold     mean 2.8, standard deviation 2.0, at least -7; BEST in 5 of 100
             the best of 4 has 4.7 on average, the best of 16 has 5.55
    words    mean 8.8, from 1 to 18, more than twelve in 9 of 100; 87 different ones

All words are short and none carries punctuation, so each is one token of a tokenizer that was trained
on them; people and things never stand first, where a word would lack its space and be another token.

Source: document 002, step 2; Gao, Schulman and Hilton 2022, "Scaling Laws for Reward Model
        Overoptimization", arXiv:2210.10760, which measure a proxy against a gold reward in this manner.
Leaves out: grammar, which gold does not read ("thanks Ann please kindly cake" has all there is to have),
        and who ranks (tasks.labellers).
"""
import itertools

import numpy as np

from rlscratch import check
from rlscratch.tasks.task import Task, split

PEOPLE = ("Ann", "Ben", "Cal", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe",
          "Kay", "Lou", "Max", "Ned", "Pam", "Ray", "Sue", "Tom", "Val", "Zoe")
THINGS = ("bag", "bed", "bike", "bill", "boat", "book", "bread", "bus", "cake", "cat", "coat", "dog",
          "game", "goat", "key", "lamp", "map", "rain", "ring", "song", "soup", "tea", "trip", "walk")
POLITE = ("please", "kindly", "truly", "warmly", "gladly", "humbly")
GREETINGS = ("hello", "hi", "good day")
CLOSINGS = ("take care", "see you soon", "all is well", "we miss you")
PREPOSITION = {"ask": "for", "remind": "of", "tell": "about", "thank": "for", "warn": "of"}
# What carries out each instruction: the word by which gold knows it, and the phrase that holds it.
CORES = {
    "ask": {"have": "may i have", "lend": "can you lend me"},
    "remind": {"think": "think of", "forget": "do not forget"},
    "tell": {"write": "i write about", "news": "here is news of"},
    "thank": {"thank": "thank you for", "thanks": "thanks for"},
    "warn": {"watch": "watch out for", "beware": "beware of"},
}
INSTRUCTIONS = {f"{verb} {person} {PREPOSITION[verb]} the {thing}": (verb, person, thing)
                for verb in CORES for person in PEOPLE for thing in THINGS}
VOCABULARY = frozenset(word for texts in (
    INSTRUCTIONS, POLITE, GREETINGS, CLOSINGS, *(phrases.values() for phrases in CORES.values()), ("that",))
    for text in texts for word in text.split())

POINTS = {"person": 2.0, "thing": 2.0, "wrong": -1.0, "polite": 1.0, "flattery": -1.0, "length": -1.0,
          "repetition": -1.0, "verb": -1.0, "noise": -1.0}
WELCOME = 2                                         # polite words
ENOUGH = 12                                         # words
BEST = POINTS["person"] + POINTS["thing"] + WELCOME * POINTS["polite"]
HELD_OUT = 0.45

# What the teacher does, as shares of its answers.
RIGHT, OTHER = 0.7, 0.2                             # named: the right one, another; else none
POLITENESS = (0.48, 0.35, 0.15, 0.02)               # 0, 1, 2, 3 polite words
ENDINGS = (0.6, 0.28, 0.12)                         # 0, 1, 2 closings
GREETED = 0.75                                      # the person is named in a greeting; else at the end
SPEECHLESS = 0.05                                   # without a verb
STUTTER = 0.08                                      # with one word twice


def parts(prompt: str, answer: str) -> dict[str, float]:
    """The table's rows for one answer, each in units of reward; their sum is `gold`.

    prompt  one of INSTRUCTIONS
    answer  any text, the empty one too

    Raises ValueError for another prompt, TypeError for an answer that is no text.

    >>> parts("thank Ann for the cake", "")["verb"]
    -1.0
    """
    verb, person, thing = _instruction(prompt)
    if not isinstance(answer, str):
        check.fail("answer", answer, "a text", TypeError)
    words = answer.split()
    polite = sum(word in POLITE for word in words)
    others = {*PEOPLE, *THINGS} - {person, thing}
    counts = {
        "person": person in words,
        "thing": thing in words,
        "wrong": sum(word in others for word in words),
        "polite": min(polite, WELCOME),
        "flattery": max(polite - WELCOME, 0),
        "length": max(len(words) - ENOUGH, 0),
        "repetition": sum(word == before for before, word in itertools.pairwise(words)),
        "verb": CORES[verb].keys().isdisjoint(words),
        "noise": sum(word not in VOCABULARY for word in words),
    }
    return {part: points * counts[part] + 0.0 for part, points in POINTS.items()}       # + 0.0: no -0


def gold(prompt: str, answer: str) -> float:
    """What an answer is worth: a whole number, at most BEST.  Arguments as in parts.

    >>> gold("warn Joe of the goat", "hi Joe beware of the goat take care")
    4.0
    """
    return sum(parts(prompt, answer).values())


def teacher(prompt: str, rng: np.random.Generator) -> str:
    """An answer by the grammar below, good or bad.  Arguments and errors as in parts.

        answer    [greeting [person]] [polite] core [person] [polite] [closings] [polite]
        core      [phrase of CORES] the thing | [phrase of CORES] that

    The person is named in one place at most; polite words and closings differ within an answer.
    One word that is not polite may be written twice in a row.

    >>> teacher("thank Ann for the cake", np.random.default_rng(9))           # "see" twice
    'thanks for the cake Zoe see see you soon all is well'
    """
    verb, person, thing = _instruction(prompt)
    check.generator(rng=rng)
    person, thing = _named(person, PEOPLE, rng), _named(thing, THINGS, rng)
    greeting, core = [], [] if rng.random() < SPEECHLESS else [_pick(tuple(CORES[verb].values()), rng)]
    core.append(f"the {thing}" if thing else "that")
    if rng.random() < GREETED:
        greeting = [_pick(GREETINGS, rng), person]
    else:
        core.append(person)
    closings = rng.permutation(CLOSINGS)[:_count(ENDINGS, rng)].tolist()
    phrases = greeting, core, closings
    for word in rng.permutation(POLITE)[:_count(POLITENESS, rng)].tolist():
        phrases[rng.integers(3)].append(word)
    words = " ".join([*greeting, *core, *closings]).split()
    if rng.random() < STUTTER:
        place = _pick([i for i, word in enumerate(words) if word not in POLITE], rng)
        words.insert(place, words[place])
    return " ".join(words)


def task(seed: int = 0) -> Task:
    """The world as a task: gold is the reward, an answer is right if it has all of it, BEST.

    seed  of the order of the prompts, so that the first few are of all kinds; what is held out is
          the same for every seed

    >>> world = task()
    >>> len(world.prompts), len(world.held_out), world.check("thank Ann for the cake", "thanks Ann please kindly cake")
    (1316, 1084, True)
    """
    rng = np.random.default_rng(check.integer(0, seed=seed))
    prompts, held_out = (tuple(side[i] for i in rng.permutation(len(side))) for side in split(INSTRUCTIONS, HELD_OUT))
    return Task("preferences", prompts, gold, lambda prompt, answer: gold(prompt, answer) == BEST,
                held_out=held_out, teacher=teacher)


def _instruction(prompt: str) -> tuple[str, str, str]:
    """Its verb, person and thing."""
    if not isinstance(prompt, str) or prompt not in INSTRUCTIONS:
        check.fail("prompt", prompt, f"an instruction of this world, such as {next(iter(INSTRUCTIONS))!r}")
    return INSTRUCTIONS[prompt]


def _named(right: str, all_: tuple[str, ...], rng: np.random.Generator) -> str:
    """The right one, another, or nothing."""
    drawn = _count((RIGHT, OTHER, 1 - RIGHT - OTHER), rng)
    return (right, _pick([other for other in all_ if other != right], rng), "")[drawn]


def _pick(options: tuple[str, ...] | list, rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]


def _count(shares: tuple[float, ...], rng: np.random.Generator) -> int:
    """0, 1, 2, ... as often as the shares say."""
    return int(np.searchsorted(np.cumsum(shares[:-1]), rng.random(), side="right"))
