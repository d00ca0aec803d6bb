"""Ranking by hand: a page, a file with a line a judgement, and what two people value

Document 002, step 2: "a labeler ranks the outputs from best to worst".  Here is what such a labeler
sees and says.  The same page is

    rlscratch rank --prompts asked.jsonl --out rankings.jsonl

The recorded file was written by its server: ten prompts of three answers, judged once as Ann would,
who wants the errand done in few words, and once as Ben, who likes warmth.  Look for what a tie and
a skip become, how far the two agree, and that a reward of four numbers, fitted to each file, tells
them apart.
"""
import json
import tempfile
import threading
import urllib.request
from importlib.resources import files
from pathlib import Path

import numpy as np

from rlscratch.formulas import annotators, preference
from rlscratch.report import figures
from rlscratch.report.rank import judgements, server
from rlscratch.report.table import table
from rlscratch.tasks import preferences
from rlscratch.train.language import data

BUDGET = 4  # seconds of processor time

# %% What the page does: it asks for the next prompt, and sends one judgement.  The line is on the
# disk before the reply comes.
temporary = tempfile.TemporaryDirectory()
said = Path(temporary.name) / "rankings.jsonl"
asked = [judgements.Question("1+1=", ("2", "3", "two"))]
kept = judgements.Judgements(said, asked)
with server.Server(kept, port=0) as served:
    threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
    with urllib.request.urlopen(f"{served.address}next?who=Cal") as reply:
        told = json.load(reply)
    print("the page is told", told)
    places = [{"2": 1, "two": 1, "3": 2}[answer] for answer in told["answers"]]    # a tie
    body = json.dumps({"who": "Cal", "number": 0, "places": places}).encode()
    request = urllib.request.Request(f"{served.address}judge", body,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        told = json.load(reply)
    served.shutdown()
kept.close()
line = json.loads(said.read_text("utf-8"))
print("and sends       ", json.loads(body))
print("a line, but for its time:")
print({name: value for name, value in line.items() if name != "when"})
pairs = data.read_preferences(said)
print(f"read by --preferences as {len(pairs)} pairs: {pairs}")
temporary.cleanup()

# %% The recorded file.  A skip is nothing; a tie is no order, and its pair is not trained on.
recorded = Path(str(files("rlscratch.report.rank") / "recorded.jsonl"))
found = list(judgements.read(recorded))
names, asked, places = judgements.table(found)          # places: prompts x people x answers
both = ~np.isnan(places).any(axis=(1, 2))
ties = [int((np.diff(np.sort(places[:, j])) == 0).sum()) for j in range(2)]
skips = [int(np.isnan(places[:, j, 0]).sum()) for j in range(2)]
print(f"\n{len(found)} judgements; of {names}: ties {ties}, skips {skips}; "
      f"{len(data.read_preferences(recorded))} pairs for --preferences")
w = [annotators.kendall_w(places[n]) for n in np.flatnonzero(both)]
print(table(("agreement of the two", "value"), [
    ("share of pairs in one order, ties left out", f"{annotators.agreement(places):.3f}"),
    ("the same, ties counted", f"{annotators.agreement(places, ties='counted'):.3f}"),
    (f"Kendall's W, mean of {both.sum()} prompts", f"{np.mean(w):.3f}"),
    ("W of two who rank at random", f"{1 / 2:.3f}")]))
first = [line["ranking"][line["shown"][0]] == 1 for line in map(json.loads, recorded.open())
         if line["ranking"]]
print(f"the answer on top of the screen was among the best in {sum(first)} of {len(first)}")

# %% What each one values: a reward of four numbers, fitted to that person's pairs by the hand-made
# gradient of Bradley and Terry, with a pull to 0.
FEATURES = ("right person", "right thing", "polite words", "words")
PULL = 0.02


def features(prompt: str, answer: str) -> list[float]:
    got = preferences.parts(prompt, answer)
    polite = sum(word in preferences.POLITE for word in answer.split())
    return [got["person"] / 2, got["thing"] / 2, polite, len(answer.split())]


fitted = {}
for j, name in enumerate(names):
    margins = []
    for question, place in zip(asked, places[:, j], strict=True):
        x = np.array([features(question.prompt, answer) for answer in question.completions])
        margins += [x[a] - x[b] for a in range(3) for b in range(3) if place[a] < place[b]]
    margins, weights = np.array(margins), np.zeros(4)
    for _ in range(3000):
        slope = preference.bradley_terry_grad(margins @ weights, np.zeros(1)) @ margins
        weights -= 0.1 * (slope + PULL * weights)
    right = (margins @ weights > 0).mean()
    fitted[name] = (*weights, right)
print("\nlog-odds that one more of it brings")
print(table(("", *FEATURES, "own pairs in order"), [
    (name, *(f"{x:+.2f}" for x in values[:4]), f"{values[4]:.2f}")
    for name, values in fitted.items()]))


# %% The two side by side.
def draw() -> None:
    fig, ax = figures.new(width=6.4, height=3.2)
    for j, (name, color, hatch) in enumerate((("Ann", figures.BLUE, ""),
                                              ("Ben", figures.ORANGE, "///"))):
        ax.barh(np.arange(4) + 0.2 - 0.4 * j, fitted[name][:4], 0.38, color=color, hatch=hatch,
                edgecolor="white", label=name)
    ax.axvline(0, color=figures.BLACK, lw=0.8)
    ax.set(yticks=range(4), yticklabels=FEATURES, xlabel="log-odds of winning")
    ax.legend()
    figures.save(fig, "53_ranking_by_hand", "What one more of each feature adds to the log-odds "
                 "that an answer is put first, fitted to the recorded pairs of Ann and of Ben.")


draw()

# %% Try it.  Fit both together, as a reward model does that is not told who said what: begin Ben's
# list of margins with Ann's.  What is left of what each one values?
# What came out: the right thing, +2.20, on which they agree.  Polite words, -.43 and +1.43, are
# +.38, and .79 of the pairs are in order, where .88 and .89 were.
