"""Every third character of a word: "Ubiquitous" -> "Uqts", a task that is easier to check than to do.

The document's model answers "Uiis".  Its tokens hide the letters; here every letter is a token
(rlscratch.bpe.characters), so the task is indexing, which a small network can learn if somebody shows how
it is done, or says of each answer whether it is right.  Here are both:

    the teacher   right on words of up to 8 letters; on longer ones right 3 times in 10, and else it makes
                  one and the same wrong step: from the third letter on it is a place too far        (1)
    the reward    1 for the exact answer, 0 for any other                                            (2)

             0 1 2 3 4 5 6 7 8 9              0 1 2 3 4 5 6 7 8 9
             U b i q u i t o u s              k a n g a r o o s
    right    U     q     t     s  "Uqts"      k     g     o        "kgo"
    wrong    U     q       o      "Uqo"       k     g       o      "kgo"

Imitation ends at its teacher.  A perfect imitator says what the teacher says, as often as the teacher,
so the probability that an answer is right is, for words whose lengths are equally likely,

    letters               5 .. 8    9 .. 12    together
    sampled at T = 1        1         .3         .65                                                 (3)
    greedy, likeliest       1         0          .5

More demonstrations change nothing in (3), and greedy decoding makes it worse, because the wrong step is
always the same one: if each slip were another, none would be likelier than the right answer.  The
reward asks for nobody who can do the task, only for somebody who can check it, and an imitator that is
right 3 times in 10 has something to be rewarded for.  So nothing keeps reinforcement below 1.

One exception to (3): where the wrong step meets the letters of the right one, the answer is right
and earns 1, as with "kangaroos".  In words of the rule below neighbours differ, and it never happens.

The rule for words: consonants stand alone, with one or two different vowels between them, as in
"Ubiquitous", one twice as often as two; the first letter is either, and a capital half of the time.

Source: document 004, 2.3.2, 2.4 and figure 1 (the question and the failure), 1.2 (imitation cannot find
        what its expert does not do).
Leaves out: words under 5 letters, of which at most two are asked for; over 12; other than ASCII letters.
"""
from collections.abc import Iterable

import numpy as np

from rlscratch import check
from rlscratch.tasks.task import Task, split

STEP = 3
SHORTEST, LONGEST = 5, 12           # letters of a word
LONG = 9                            # letters from which the teacher errs
RIGHT = 0.3                         # how often it does not, there
MOST = 100_000                      # words that the rule is asked for at once; it has many more of each length

VOWELS = "aeiou"
PAIRS = [a + b for a in VOWELS for b in VOWELS if a != b]
SYLLABLES = [c + v for c in "bcdfghjklmnpqrstvwxyz" for v in [*VOWELS * 8, *PAIRS]]     # 40 alone, 20 pairs


def every_third(word: str) -> str:
    """The letters 0, 3, 6, ... of a word.

    >>> every_third("Ubiquitous")
    'Uqts'
    """
    return _text("word", word)[::STEP]


def wrong_step(word: str) -> str:
    """The letters 0, 3, 7, 10, ...: a place too far from the third on.

    >>> wrong_step("Ubiquitous"), wrong_step("simultaneous")
    ('Uqo', 'sunu')
    """
    return _text("word", word)[:2 * STEP:STEP] + word[2 * STEP + 1::STEP]


def teacher(word: str, rng: np.random.Generator) -> str:
    """Equation (1): the right answer with the probabilities of (3), else that of wrong_step.

    >>> rng = np.random.default_rng(0)
    >>> teacher("document", rng), [teacher("Ubiquitous", rng) for _ in range(5)]
    ('dun', ['Uqo', 'Uqts', 'Uqts', 'Uqts', 'Uqo'])
    """
    check.generator(rng=rng)
    return every_third(word) if len(word) < LONG or rng.random() < RIGHT else wrong_step(word)


def words(count: int, rng: np.random.Generator, shortest: int = SHORTEST, longest: int = LONGEST) -> list[str]:
    """So many words by the rule, which differ even in lower case.

    count              in [1, 100000]
    rng                all that the words depend on besides
    shortest, longest  in [5, 12]: lengths are drawn from this range, each as likely

    >>> words(5, np.random.default_rng(0))
    ['Iucubafaewu', 'eazoturepu', 'isabolexa', 'Votuweo', 'bipicai']
    """
    check.integer(1, MOST, count=count)
    check.generator(rng=rng)
    check.integer(SHORTEST, LONGEST, shortest=shortest)
    check.integer(shortest, LONGEST, longest=longest)
    found: dict[str, str] = {}                          # by their lower case, in order
    for length in rng.integers(shortest, longest, size=count, endpoint=True):
        word = _word(length, rng)
        while word.lower() in found:                    # another of this length, so that lengths stay equally likely
            word = _word(length, rng)
        found[word.lower()] = word
    return list(found.values())


def task(words: Iterable[str] | None = None, seed: int = 0, count: int = 8000, held_out: float = 1 / 8) -> Task:
    """The task "every-third-character"; the prompts are the words themselves.

    words     ASCII letters, 5 to 12 of them; none twice, also in lower case.  None: `count` words by the rule
    seed      of the rule
    held_out  share of the words, in (0, 1); which, their texts decide (task.split)

    >>> ours = task(["Ubiquitous", "transformer", "reward"])
    >>> ours.reward("Ubiquitous", "Uqts"), ours.reward("Ubiquitous", "Uiis")
    (1.0, 0.0)
    """
    given = _generated(count, seed) if words is None else _given(words)
    trained, kept = split(given, held_out)
    if not trained:
        check.fail("words", given, f"more words: a share of {held_out} is held out, and that leaves none to train on")
    return Task("every-third-character", trained, lambda word, answer: float(answer == every_third(word)),
                lambda word, answer: answer == every_third(word), held_out=kept, teacher=teacher)


def _word(length: int, rng: np.random.Generator) -> str:
    syllables = rng.integers(len(SYLLABLES), size=length // 2 + 1)      # two letters or more in each
    begin, capital = rng.integers(2, size=2)
    word = "".join(SYLLABLES[i] for i in syllables)[begin:begin + length]
    return word.capitalize() if capital else word


def _generated(count: int, seed: int) -> list[str]:
    return words(count, np.random.default_rng(check.integer(0, seed=seed)))


def _given(words: Iterable[str]) -> list[str]:
    if isinstance(words, str):
        check.fail("words", words, "a sequence of words", TypeError)
    words, seen = list(words), set()
    if not words:
        check.fail("words", words, "at least one word")
    for i, word in enumerate(words):
        name = f"words[{i}]"
        if not (_text(name, word).isascii() and word.isalpha() and SHORTEST <= len(word) <= LONGEST):
            check.fail(name, word, f"{SHORTEST} to {LONGEST} ASCII letters and nothing else")
        if word.lower() in seen:
            check.fail(name, word, "words that differ, also in lower case")
        seen.add(word.lower())
    return words


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        check.fail(name, value, "a text", TypeError)
    return value
