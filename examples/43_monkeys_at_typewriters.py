"""Monkeys at typewriters: how long chance takes to a word, and how rewards shorten it

Document 003, part 6: monkeys type Shakespeare in the end, "but it takes forever"; "give monkeys
bananas (rewards) when they type good words!"  For ever is a number: the expected keys until a word
stands there, by a formula that needs no chance, and by linear equations over what is typed so far.

Then a monkey learns.  Look at which bananas help.  One for "hello" alone is never seen.  One for
each letter that goes on with the word leads there, with fewer keys than chance needs for the first
"hello".  And bananas for short words teach a short word, typed again and again.
"""
from dataclasses import replace
from itertools import islice

import numpy as np

from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.waiting import waiting_time
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.typewriter import typewriter
from rlscratch.train.tabular import reinforce
from rlscratch.train.tabular.worlds import TabularWorld

BUDGET = 2.5  # seconds of processor time
KEYS = "abcdefghijklmnopqrstuvwxyz "


# %% Chance, on 27 keys: the formula, and the chain of how much of the word stands at the end.
def keys_until(word: str, policy: np.ndarray) -> float:
    """The expected number of keys until the word, for a policy (letters typed, key)."""
    mdp = typewriter(word, KEYS)
    steps = MDP(mdp.transition, 1.0 * ~mdp.terminal, 1.0, 0, mdp.terminal)
    return steps.evaluate(policy)[0]


even = dict.fromkeys(KEYS, 1 / len(KEYS))
rows = []
for word in ("a", "he", "abab", "aaaa", "hello"):
    solved = keys_until(word, np.full((len(word) + 1, 27), 1 / 27))
    rows.append((word, f"{27 ** len(word):,}", f"{waiting_time(word, even):,.0f}",
                 f"{solved:,.0f}"))
print(table(("word", "27^letters", "formula", "linear equations"), rows))
longer = waiting_time("hello world", even)
print(f"\n\"hello world\": {longer:.2e} keys; at 10 a second {longer / 10 / 3.15e7:,.0f} years")
often = np.array([7, 1, 2, 4, 11, 2, 2, 5, 6, 1, 1, 4, 2,
                  6, 7, 2, 1, 5, 6, 8, 2, 1, 2, 1, 2, 1, 18])
english = dict(zip(KEYS, often / often.sum(), strict=True))
print(f"keys roughly as often as in English: \"hello\" after {waiting_time('hello', english):,.0f}")

# %% A monkey that learns: REINFORCE, 100 batches of 1,024 lines of five keys, from even odds.
hello, stands = typewriter("hello", KEYS), np.arange(6)
up = stands[None, None, :] > stands[:, None, None]              # a key that leads on in the word


def bananas(for_letters: list[float]) -> MDP:
    """So many for the 1st, 2nd, ... letter of the word, each time that a key leads there."""
    return replace(hello, reward=np.broadcast_to(up * np.array([0.0, *for_letters]),
                                                 hello.reward.shape))


def most_likely(policy: np.ndarray) -> str:
    """Five keys, each the likeliest after those before."""
    s, text = 0, ""
    while len(text) < 5:
        text += KEYS[policy[s].argmax()]
        s = hello.transition[s, policy[s].argmax()].argmax()
    return text


BATCHES, LINES, STEP = 100, 1024, 20.0
first = LINES * 27.0**-5
kinds = {"hello": [0, 0, 0, 0, 1], "he, hell, hello": [0, 1, 0, 1, 1],
         "each letter": [1, 1, 1, 1, 1]}
curves, rows = {}, []
for name, paid in kinds.items():
    world = TabularWorld("hello", hello, 5, np.zeros((6, 27)), "P(hello)", pays=bananas(paid))
    curves[name] = [keys_until("hello", softmax(world.logits))]
    for tables, _ in islice(reinforce.METHOD.learn(world, np.random.default_rng(0), episodes=LINES,
                                                   lr=STEP), BATCHES):
        policy = softmax(tables["logits"])
        curves[name].append(keys_until("hello", policy))
    likely = most_likely(policy) if (policy != 1 / 27).any() else "anything"
    rows.append((name, f"{curves[name][0]:.2e}", f"{curves[name][-1]:.2e}",
                 f"{world.worth(policy):.4f}", likely))
print(f"\nAfter {BATCHES} batches, {BATCHES * LINES * 5:,} keys\n")
print(table(("a banana for", "keys until hello, before", "after", "P(hello in 5)",
             "likeliest keys"), rows))
print(f"\nThe chance that a batch of even odds holds a \"hello\": {first:.2e}, "
      f"one batch in {1 / first:,.0f}.  Until then its\ngradient is exactly 0.")


# %% Keys until "hello" while it learns.
def draw() -> None:
    fig, ax = figures.new(width=6.2, height=3.4)
    for (name, curve), style in zip(curves.items(), ("--", "-.", "-"), strict=True):
        ax.plot(curve, style, label=name)
    ax.set(yscale="log", title='keys until "hello"', xlabel="batches of 1,024 lines",
           ylabel="expected keys")
    ax.legend(fontsize=8, title="a banana for", title_fontsize=8)
    figures.save(fig, "43_monkeys", "The expected number of keys until \"hello\" stands there, "
                 "while a monkey learns. With a banana for each letter that goes on it falls from "
                 "14 million to 5. With one for short words it learns one of those, for good.")


draw()

# %% Try it.  Give the last letter more: "he, hell, hello" with bananas [0, 1, 0, 1, 100].
# What came out: nothing changes.  In 512,000 keys no "hello" was typed, so nobody saw the 100.
