"""Judging code: a reward that is computed by running the answer, in a process with limits

Document 003, "Why Rollouts Matter" (five ways to sort a list) and part 5 (three Fibonacci
functions); document 004, 2.4.1 (verifiable domains).  Each answer runs in an interpreter of its
own, under a limit of time and of memory, and what it returns is compared outside.

Look for what reading did not see.  The document calls 1 and 5 correct and 4 buggy; run, 2 is
correct as well (it sorts its argument in place and returns it) and 3 fails, unless it brings its
bubble_sort.
"""
import numpy as np

from rlscratch.formulas.grpo import group_advantage
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.code import run

BUDGET = 5  # seconds of processor time

# %% The five ways to sort, each called with three lists.
CASES = [(([3, 1, 2],), [1, 2, 3]), (([],), []), (([2, -1, 2],), [-1, 2, 2])]
SORTS = ("def sort_list(lst): return sorted(lst)",
         "def sort_list(lst): lst.sort(); return lst",
         "def sort_list(lst): return bubble_sort(lst)",
         "def sort_list(lst): return lst.sort()",
         "def sort_list(lst): return sorted(lst, reverse=False)")
SAID = ("correct", "-", "shows the algorithm", "buggy, returns None", "correct")
verdicts, rows = [], []
for i, source in enumerate(SORTS):
    verdict = run(source, "sort_list", CASES)
    verdicts.append(verdict)
    body = source.removeprefix("def sort_list(lst): ")
    right, mutates = "right" if verdict.right else "wrong", "yes" if verdict.mutates else "no"
    rows.append((i + 1, body, SAID[i], right, mutates, verdict.reason))
print(table(("", "answer", "document", "run", "changes its argument", "why"), rows))

# %% The third with what it lacks.
BUBBLE = """
def bubble_sort(lst):
    for end in range(len(lst), 1, -1):
        for i in range(1, end):
            if lst[i - 1] > lst[i]:
                lst[i - 1], lst[i] = lst[i], lst[i - 1]
    return lst
"""
helped = run(BUBBLE + SORTS[2], "sort_list", CASES)
print(f"\nAnswer 3 with a bubble_sort: {helped.reason}; "
      f"it changes its argument: {'yes' if helped.mutates else 'no'}")

# %% Three Fibonacci functions: all right, until n is large enough to tell them apart.
FIBONACCI = {
    "recursive": """
def fibonacci(n):
    if n <= 1:
        return n
    return fibonacci(n-1) + fibonacci(n-2)
""",
    "iterative": """
def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
""",
    "memoised": """
def fibonacci(n, memo={}):
    if n in memo:
        return memo[n]
    if n <= 1:
        return n
    memo[n] = fibonacci(n-1, memo) + fibonacci(n-2, memo)
    return memo[n]
"""}
true = [0, 1]
while len(true) <= 5000:
    true.append(true[-1] + true[-2])


def reason(source: str, *numbers: int) -> str:
    """The judge's reason for these n, without the details of an exception."""
    cases = [((n,), true[n] if n >= 0 else "nothing") for n in numbers]
    return run(source, "fibonacci", cases, seconds=1.0).reason.split(":")[0]


rows = []
for name, source in FIBONACCI.items():
    negative = reason(source, -3).split(";")[0]
    rows.append((name, reason(source, *range(10)), reason(source, 90), reason(source, 5000),
                 negative))
print()
print(table(("answer", "n = 0 to 9", "n = 90", "n = 5000", "n = -3"), rows))

# %% What an answer can do to its judge: each is a verdict, none an exception or a wait.
EQUAL = """
class Yes:
    def __eq__(self, other): return True
    def __repr__(self): return 'Yes()'
def sort_list(lst): return Yes()
"""
HOSTILE = {"loops for ever": "while True: pass",
           "eats memory": "hoard = []\nwhile True: hoard.append(bytearray(10**6))",
           "exits": "import sys\nsys.exit(0)", "is no program": "def sort_list(lst)",
           "prints a verdict": "print('right')\ndef sort_list(lst): return 'right'",
           "equals everything": EQUAL}
rows = []
for name, source in HOSTILE.items():
    seconds = 0.5 if name == "loops for ever" else 20.0
    rows.append((name, run(source, "sort_list", CASES, seconds=seconds, megabytes=128).reason))
print()
print(table(("an answer that", "verdict"), rows))

# %% From verdicts to a training signal: reward 1 or 0, and each answer against its group.
rewards = np.array([float(verdict.right) for verdict in verdicts])
advantages = group_advantage(rewards)
print()
print(table(("answer", "1", "2", "3", "4", "5"), [
    ("reward", *(f"{r:.0f}" for r in rewards)),
    ("group advantage", *(f"{a:+.3f}" for a in advantages))]))


# %% The same as a picture.
def draw() -> None:
    fig, ax = figures.new(width=7.0, height=3.0)
    bars = ax.barh([f"{i}  {source.split(': ', 1)[1]}" for i, source in enumerate(SORTS, 1)],
                   advantages, color=[figures.BLUE if verdict.right else figures.ORANGE
                          for verdict in verdicts])
    for bar, verdict in zip(bars, verdicts, strict=True):
        bar.set_hatch("" if verdict.right else "///")
    ax.bar_label(bars, ["right" if verdict.right else "wrong" for verdict in verdicts], padding=4)
    ax.axvline(0, color=figures.BLACK, lw=0.8)
    ax.invert_yaxis()
    ax.grid(False)
    ax.set(title="Five answers, run", xlabel="group advantage, in standard deviations of reward",
           xlim=(-1.8, 1.4))
    figures.save(fig, "15_judging_code", "The five sort answers of the document with the advantage "
                 "that their verdict earns in the group: what runs correctly is reinforced, what "
                 "fails (hatched) is not, whatever it looks like.")


draw()

# %% Try it.  Give the third answer its bubble_sort, with verdicts[2] = helped before the rewards.
# What happens to the others' advantages?
# What came out: four of five are right, so each right one earns +.447 instead of +.730 and the
# wrong one loses 1.789 instead of 1.095: the fewer are wrong, the harder each of them is blamed.
