"""Judging code: a reward that is computed by running the answer, in a process with limits

Document 003, "Why Rollouts Matter" (five ways to sort a list) and part 5 (three Fibonacci functions);
document 004, 2.4.1 (verifiable domains).  Each answer runs in an interpreter of its own, under a limit
of time and of memory, and what it returns is compared outside.

Look for what reading did not see.  The document calls 1 and 5 correct and 4 buggy; run, 2 is correct as
well (it sorts its argument in place and returns it) and 3 fails, unless it brings its bubble_sort.
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
verdicts = [run(source, "sort_list", CASES) for source in SORTS]
SAID = ("correct", "-", "shows the algorithm", "buggy, returns None", "correct")
print(table(("", "answer", "document", "run", "changes its argument", "why"), [
    (i, source.split(": ", 1)[1], said, "right" if verdict.right else "wrong", "yes" if verdict.mutates else "no",
     verdict.reason) for i, (source, said, verdict) in enumerate(zip(SORTS, SAID, verdicts, strict=True), 1)]))

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
print(f"\nAnswer 3 with a bubble_sort: {helped.reason}; it changes its argument: {'yes' if helped.mutates else 'no'}")

# %% Three Fibonacci functions: all right, until n is large enough to tell them apart.
FIBONACCI = {
    "recursive": "def fibonacci(n):\n    if n <= 1:\n        return n\n    return fibonacci(n-1) + fibonacci(n-2)",
    "iterative": "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
    "memoised": ("def fibonacci(n, memo={}):\n    if n in memo:\n        return memo[n]\n"
                 "    if n <= 1:\n        return n\n"
                 "    memo[n] = fibonacci(n-1, memo) + fibonacci(n-2, memo)\n    return memo[n]"),
}
true = [0, 1]
while len(true) <= 5000:
    true.append(true[-1] + true[-2])


def reason(source: str, *numbers: int) -> str:
    """The judge's reason for these n, without the details of an exception."""
    cases = [((n,), true[n] if n >= 0 else "nothing") for n in numbers]
    return run(source, "fibonacci", cases, seconds=3.0).reason.split(":")[0]


print()
print(table(("answer", "n = 0 to 9", "n = 90", "n = 5000", "n = -3"), [
    (name, reason(source, *range(10)), reason(source, 90), reason(source, 5000), reason(source, -3).split(";")[0])
    for name, source in FIBONACCI.items()]))

# %% What an answer can do to its judge: each is a verdict, none an exception or a wait.
HOSTILE = {"loops for ever": "while True: pass",
           "eats memory": "hoard = []\nwhile True: hoard.append(bytearray(10**6))",
           "exits": "import sys\nsys.exit(0)", "is no program": "def sort_list(lst)",
           "prints a verdict": "print('right')\ndef sort_list(lst): return 'right'",
           "equals everything": "class Yes:\n    def __eq__(self, other): return True\n"
                                "    def __repr__(self): return 'Yes()'\ndef sort_list(lst): return Yes()"}
print()
print(table(("an answer that", "verdict"), [
    (name, run(source, "sort_list", CASES, seconds=0.5 if "loops" in name else 20.0, megabytes=128).reason)
    for name, source in HOSTILE.items()]))

# %% From verdicts to a training signal: reward 1 or 0, and each answer against its group.
rewards = np.array([float(verdict.right) for verdict in verdicts])
advantages = group_advantage(rewards)
print()
print(table(("answer", *(str(i) for i in range(1, 6))), [
    ("reward", *(f"{r:.0f}" for r in rewards)), ("group advantage", *(f"{a:+.3f}" for a in advantages))]))

# %% The same as a picture.
fig, ax = figures.new(width=7.0, height=3.0)
bars = ax.barh([f"{i}  {source.split(': ', 1)[1]}" for i, source in enumerate(SORTS, 1)], advantages,
               color=[figures.BLUE if verdict.right else figures.ORANGE for verdict in verdicts])
for bar, verdict in zip(bars, verdicts, strict=True):
    bar.set_hatch("" if verdict.right else "///")
ax.bar_label(bars, ["right" if verdict.right else "wrong" for verdict in verdicts], padding=4)
ax.axvline(0, color=figures.BLACK, lw=0.8)
ax.invert_yaxis()
ax.grid(False)
ax.set(title="Five answers, run", xlabel="group advantage, in standard deviations of reward", xlim=(-1.45, 1.1))
figures.save(fig, "15_judging_code", "The five sort answers of the document with the advantage that their verdict "
             "earns in the group: what runs correctly is reinforced, what fails (hatched) is not, whatever it looks "
             "like.")
