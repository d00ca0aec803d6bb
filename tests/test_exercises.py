"""rlscratch check: our own functions pass all exercises, typical errors are caught with the right word.

What a student gets wrong is planted here, two errors or more for each exercise.  The word is what the sentence begins
with: mask, sign, factor, tie, ...
"""
import csv
import inspect
import math
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from rlscratch.__main__ import main
from rlscratch.cli.exercises import alone, command
from rlscratch.cli.exercises.catalogue import EXERCISES
from rlscratch.cli.exercises.marks import BEGUN, RIGHT, WRONG, Mark, mark, shown

ROOT = Path(__file__).resolve().parent.parent
BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_our_own_function_solves_the_exercise(exercise):
    assert mark(exercise.ours, exercise) == (RIGHT, ())


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_file_asks_for_that_function_and_is_still_to_be_written(exercise):
    path = ROOT / "exercises" / f"{exercise.name}.py"
    function, _ = alone.read(path, exercise)
    assert tuple(inspect.signature(function).parameters) == exercise.arguments
    assert mark(function, exercise) == (BEGUN, (f"{exercise.call} is still to be written",))
    text = path.read_text("utf-8")
    assert f"rlscratch check exercises/{exercise.name}.py" in text and max(map(len, text.splitlines())) <= 100
    for number in re.findall(r"\b(\d\d)\b(?=,|;| and|\.$)", re.search(r"examples? (.*)$", text, re.M)[0]):
        assert list((ROOT / "examples").glob(f"{number}_*.py")), number


def test_there_are_twenty_two_and_no_other_file():
    assert len(EXERCISES) == 22 == len(BY_NAME)
    assert {f"{name}.py" for name in BY_NAME} == {path.name for path in (ROOT / "exercises").glob("*.py")}


def test_the_syllabus_has_every_exercise_once_and_its_minutes_add_up():
    text = (ROOT / "docs" / "syllabus.md").read_text("utf-8")
    linked = re.findall(r"\]\(\.\./(\w+/\w+\.py)\)", text)
    assert len(set(linked)) == len(linked) and all((ROOT / path).exists() for path in linked)
    assert {path for path in linked if path.startswith("exercises/")} == {f"exercises/{name}.py" for name in BY_NAME}
    assert all((ROOT / "tests" / f"test_{name}.py").exists() for name in re.findall(r"`(\w+)`(?=,| \|)", text))
    parts = re.split(r"^## ", text, flags=re.M)[1:]
    said = [int(re.search(r"^(\d+) minutes\.", part, re.M)[1]) for part in parts]
    for minutes, part in zip(said, parts, strict=True):
        beside = sum(map(int, re.findall(r"These take (\d+) minutes", part)))
        assert sum(map(int, re.findall(r"\| (\d+) \|$", part, re.M))) + beside == minutes
    assert re.search(r"^All chapters: (\d+) minutes", text, re.M)[1] == str(sum(said))


def test_the_readme_shows_what_is_said():
    exercise = BY_NAME["07_ppo_clip"]
    mean = but(PPO, ("(each * mask).sum() / mask.sum()", "(each * mask).mean()"))
    found = mark(written(exercise.name, mean), exercise)
    said = textwrap.indent(command.told(Path("07_ppo_clip.py"), found), "    ")
    assert said in (ROOT / "README.md").read_text("utf-8"), said


# ---------------------------------------------------------------- what is planted

def written(name, body):
    """A student's function from its body; names of arrays' functions are NumPy's."""
    exercise = BY_NAME[name]
    space = {"np": np, "math": math}
    exec(f"def {exercise.call}:\n{textwrap.indent(textwrap.dedent(body), '    ')}", space)
    return space[exercise.function]


PPO = """
rho = np.exp(logp - logp_old)
each = np.minimum(rho * advantage, np.clip(rho, 1 - eps, 1 + eps) * advantage)
return -(each * mask).sum() / mask.sum()
"""
GAE = """
A, later, after = np.zeros(len(rewards)), 0.0, 0.0
for t in reversed(range(len(rewards))):
    later = rewards[t] + gamma * after - values[t] + gamma * lam * later
    A[t], after = later, values[t]
return A
"""
DPO = "return np.logaddexp(0, -beta * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()"
TOP_P = """
order = np.argsort(-probs, kind="stable")
mass = np.cumsum(probs[order])
out = np.zeros(len(probs))
stay = order[mass - probs[order] < p - 1e-9]
out[stay] = probs[stay]
return out / out.sum()
"""
ATTENTION = """
scores = q @ k.T / np.sqrt(q.shape[1])
scores = np.where(np.tri(len(q)) == 1, scores, -np.inf)
w = np.exp(scores - scores.max(axis=1, keepdims=True))
return (w / w.sum(axis=1, keepdims=True)) @ v
"""
CROSS = """
z = logits - logits.max(axis=1, keepdims=True)
logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
each = -logp[np.arange(len(targets)), targets]
return (each * mask).sum() / mask.sum()
"""
MERGE = """
out, i = [], 0
while i < len(tokens):
    if tuple(tokens[i:i + 2]) == pair:
        out.append(tokens[i] + tokens[i + 1])
        i += 2
    else:
        out.append(tokens[i])
        i += 1
return out
"""
VALUE = """
held = values_old + np.clip(values - values_old, -clip, clip)
each = np.maximum((values - returns) ** 2, (held - returns) ** 2)
return (each * mask).sum() / mask.sum() / 2
"""
Q = """
q = q.copy()
q[s, a] += alpha * (reward + (0 if done else gamma * q[s_next].max()) - q[s, a])
return q
"""
GAUSSIAN = """
e = (action - mean) / np.exp(log_std)
return (-e * e / 2 - log_std - np.log(2 * np.pi) / 2).sum()
"""
ERROR = "return np.sqrt(values.var(axis=1, ddof=1).mean() / values.size)"
RIGHT_BODIES = {"02_top_p": TOP_P, "03_q_update": Q, "07_ppo_clip": PPO, "11_gae": GAE, "13_dpo": DPO,
                "14_attention": ATTENTION, "15_cross_entropy": CROSS, "16_bpe_merge": MERGE, "19_value_clip": VALUE,
                "21_gaussian": GAUSSIAN, "22_standard_error": ERROR}


def but(body, *changes):
    """A body with some of its text replaced."""
    for old, new in changes:
        assert old in body
        body = body.replace(old, new)
    return body


# exercise -> what was written, and the word with which the sentence begins
ERRORS = {
    "01_softmax": [
        ("e = np.exp(logits / temperature)\nreturn e / e.sum()", "overflow"),
        ("e = np.exp(logits * temperature - (logits * temperature).max())\nreturn e / e.sum()", "temperature"),
        ("e = np.exp((logits - logits.max()) / temperature)\nreturn e", "sum"),
        ("e = np.exp((logits - logits.max()) / temperature)\nreturn e / e.max()", "sum"),
        ("e = np.exp(-logits / temperature)\nreturn e / e.sum()", "odds"),
        ("return 1.0 * (np.arange(len(logits)) == logits.argmax())", "equal"),
        ("e = np.exp(np.clip(logits, -10, 10) / temperature)\nreturn e / e.sum()", "mask")],
    "02_top_p": [
        (but(TOP_P, ("mass - probs[order] < p - 1e-9", "mass <= p")), "edge"),
        (but(TOP_P, ("out / out.sum()", "out")), "sum"),
        (but(TOP_P, ("< p - 1e-9", "<= p")), "edge"),
        (but(TOP_P, ("mass - probs[order] < p - 1e-9", "mass < p")), "all"),
        (but(TOP_P, ("-probs, kind", "-probs[::-1], kind"), ("np.argsort", "len(probs) - 1 - np.argsort")), "tie"),
        (but(TOP_P, ("out[stay] = probs[stay]", "out[:len(stay)] = probs[stay]")), "place")],
    "03_q_update": [
        (but(Q, ("q = q.copy()", "pass")), "argument"), (but(Q, (".max()", ".mean()")), "max"),
        (but(Q, ("(0 if done else gamma * q[s_next].max())", "gamma * q[s_next].max()")), "end"),
        (but(Q, ("gamma * q", "q")), "discount"), (but(Q, (" - q[s, a]", "")), "step"),
        (but(Q, ("q[s_next]", "q[s]")), "discount"), (but(Q, ("return q", "return q[s, a]")), "shape")],
    "04_discounted_return": [
        ("return (rewards * gamma ** np.arange(1, len(rewards) + 1)).sum()", "power"),
        ("return rewards[0] + gamma * rewards[1:].sum()", "power"), ("return rewards.sum()", "discount"),
        ("return (rewards * gamma ** np.arange(len(rewards))).mean()", "discount"),
        ("return (rewards * np.exp(np.log(gamma) * np.arange(len(rewards)))).sum()", "edge")],
    "05_rewards_to_go": [
        ("return np.cumsum(rewards * gamma ** np.arange(len(rewards)))", "past"),
        ("return np.cumsum(rewards[::-1])[::-1] * 1.0", "discount"),
        ("return (rewards * gamma ** np.arange(len(rewards))).sum()", "shape"),
        ("d = gamma ** np.arange(len(rewards))\nreturn np.cumsum((rewards * d)[::-1])[::-1]", "discount"),
        ("return [float(r) for r in rewards]", "type"), ("return rewards * 1.0", "future"),
        ("d = gamma ** np.arange(len(rewards))\nreturn np.cumsum((rewards * d)[::-1])[::-1] / d", "edge"),
        ("return gamma * np.append(np.cumsum(rewards[::-1])[::-1][1:], 0)", "own")],
    "06_log_derivative": [
        ("g = np.zeros(len(logits))\ng[action] = reward\nreturn g", "score"),
        ("p = np.exp(logits) / np.exp(logits).sum()\nreturn reward * (p - (np.arange(len(p)) == action))", "sign"),
        ("p = np.exp(logits) / np.exp(logits).sum()\nreturn reward * ((np.arange(len(p)) == 0) - p)", "action"),
        ("p = np.exp(logits) / np.exp(logits).sum()\nreturn (np.arange(len(p)) == action) - p", "reward"),
        ("return reward * ((np.arange(len(logits)) == action) - 1 / len(logits))", "others"),
        ("p = np.exp(logits) / np.exp(logits).sum()\nreturn reward * p[action] * ((np.arange(len(p)) == action) - p)",
         "score")],
    "07_ppo_clip": [
        (but(PPO, ("return -", "return ")), "sign"), (but(PPO, ("np.minimum", "np.maximum")), "clip"),
        (but(PPO, ("(each * mask).sum() / mask.sum()", "(each * mask).mean()")), "mask"),
        (but(PPO, ("(each * mask).sum() / mask.sum()", "each.sum() / mask.sum()")), "mask"),
        (but(PPO, ("(each * mask).sum() / mask.sum()", "((each * mask).sum(1) / mask.sum(1)).mean()")), "mean"),
        (but(PPO, ("np.exp(logp - logp_old)", "np.exp(logp_old - logp)")), "ratio"),
        (but(PPO, ("np.exp(logp - logp_old)", "logp - logp_old")), "value"),
        (but(PPO, ("rho * advantage, ", "")).replace("np.minimum(", "("), "clip"),
        (but(PPO, ("mask.sum()", "mask.sum() / 2")), "factor")],
    "08_baseline": [
        ("return rewards - rewards.mean(axis=1, keepdims=True)", "others"),
        ("n = rewards.shape[1]\nreturn (rewards.sum(1, keepdims=True) - rewards) / (n - 1) - rewards", "sign"),
        ("n = rewards.shape[1]\nreturn rewards - rewards.sum(1, keepdims=True) / (n - 1)", "others"),
        ("n = rewards.size\nreturn rewards - (rewards.sum() - rewards) / (n - 1)", "group")],
    "09_grpo_advantage": [
        ("d = rewards.std(1, keepdims=True)\n"
         "return (rewards - rewards.mean(1, keepdims=True)) / np.where(d > 1e-9, d, 1)",
         "std"),
        ("return (rewards - rewards.mean(1, keepdims=True)) / rewards.std(1, ddof=1, keepdims=True)", "tie"),
        ("d = rewards.std(1, ddof=1, keepdims=True)\n"
         "return (rewards - rewards.mean(1, keepdims=True)) / np.where(d > 0, d, 1)", "tie"),
        ("d = rewards.std(1, ddof=1, keepdims=True)\n"
         "return (rewards - np.median(rewards, 1, keepdims=True)) / np.where(d > 1e-9, d, 1)", "mean"),
        ("d = rewards.std(ddof=1)\nreturn (rewards - rewards.mean()) / (d if d > 1e-9 else 1)", "group"),
        ("d = rewards.std(1, ddof=1, keepdims=True)\n"
         "return (rewards.mean(1, keepdims=True) - rewards) / np.where(d > 1e-9, d, 1)", "sign")],
    "10_k3": [
        ("return logp - logp_ref", "direction"), ("return np.exp(logp_ref - logp) - (logp_ref - logp)", "home"),
        ("return np.exp(logp - logp_ref) - 1 - (logp - logp_ref)", "direction"),
        ("d = np.minimum(logp_ref - logp, 0)\nreturn np.exp(d) - 1 - d", "positive"),
        ("d = logp_ref - logp\nreturn (np.exp(d) - 1 - d).mean()", "shape"),
        ("d = logp_ref - logp\nreturn 2 * (np.exp(d) - 1 - d)", "factor")],
    "11_gae": [
        (but(GAE, ("gamma * lam * later", "lam * later")), "trace"),
        (but(GAE, (", 0.0, 0.0", ", 0.0, values[0]")), "end"),
        (but(GAE, ("gamma * after", "after")), "next"), (but(GAE, ("- values[t] +", "+ values[t] +")), "end"),
        (but(GAE, ("return A", "return A[::-1]")), "value"),
        (but(GAE, ("gamma * lam * later", "gamma * lam ** 2 * later")), "trace")],
    "12_bradley_terry": [
        ("return -np.log(1 / (1 + np.exp(-(chosen - rejected)))).mean()", "overflow"),
        ("return np.logaddexp(0, chosen - rejected).mean()", "sign"),
        ("return np.logaddexp(0, rejected - chosen).sum()", "mean"),
        ("return -np.logaddexp(0, rejected - chosen).mean()", "sign"),
        ("return (1 / (1 + np.exp(chosen - rejected))).mean()", "equal"),
        ("return np.logaddexp(0, rejected - chosen)", "shape")],
    "13_dpo": [
        (but(DPO, ("beta * ", "")), "beta"), (but(DPO, (".mean()", ".sum()")), "mean"),
        (but(DPO, ("- ref_chosen", ""), ("- ref_rejected", "")), "reference"), (but(DPO, ("-beta", "beta")), "sign"),
        ("return -beta * (chosen - ref_chosen - rejected + ref_rejected).mean()", "equal"),
        ("return -np.log(1 / (1 + np.exp(-beta * (chosen - ref_chosen - rejected + ref_rejected)))).mean()",
         "overflow")],
    "14_attention": [
        (but(ATTENTION, ("np.where(np.tri(len(q)) == 1, scores, -np.inf)", "scores")), "mask"),
        (but(ATTENTION, (" / np.sqrt(q.shape[1])", "")), "scale"), (but(ATTENTION, ("q @ k.T", "k @ q.T")), "query"),
        (but(ATTENTION, (" - scores.max(axis=1, keepdims=True)", "")), "overflow"),
        ("return (q @ k.T / np.sqrt(q.shape[1])) @ v", "alone"), (but(ATTENTION, ("@ v", "@ v[:, 0]")), "shape")],
    "15_cross_entropy": [
        (but(CROSS, ("(each * mask).sum() / mask.sum()", "(each * mask).mean()")), "mask"),
        (but(CROSS, ("(each * mask).sum() / mask.sum()", "each.mean()")), "mask"),
        (but(CROSS, ("z = logits - logits.max(axis=1, keepdims=True)", "z = logits")), "overflow"),
        (but(CROSS, (", targets]", ", 0]")), "target"), (but(CROSS, ("np.log(", "np.log2(")), "equal"),
        (but(CROSS, ("= -logp", "= logp")), "sign"),
        (but(CROSS, ("/ mask.sum()", "")), "mean")],
    "16_bpe_merge": [
        (but(MERGE, ("i += 2", "i += 1")), "pair"), (but(MERGE, ("len(tokens)", "len(tokens) - 1")), "nothing"),
        (but(MERGE, ("tuple(tokens[i:i + 2])", "tuple(tokens[i:i + 2][::-1])")), "pair"),
        (but(MERGE, ("tuple(tokens[i:i + 2]) == pair", "sorted(tokens[i:i + 2]) == sorted(pair)")), "order"),
        ("for i in range(len(tokens)):\n    if tuple(tokens[i:i + 2]) == pair:\n        tokens[i:i + 2] = "
         "[''.join(pair)]\nreturn tokens", "argument"),
        ("text = list(tokens)\nfor i in reversed(range(len(text) - 1)):\n    if tuple(text[i:i + 2]) == pair:\n"
         "        text[i:i + 2] = [''.join(pair)]\nreturn text", "tie"),
        ("if tuple(tokens[:2]) == pair:\n    return [''.join(pair), *tokens[2:]]\nreturn list(tokens)", "every")],
    "17_epsilon_greedy": [
        ("best = q == q.max()\nreturn (1 - epsilon) * best / best.sum() + epsilon / len(q)", "tie"),
        ("best = q == q.max()\nreturn (1 - epsilon) * best + epsilon / len(q)", "tie"),
        ("p = np.full(len(q), epsilon / (len(q) - 1))\np[q.argmax()] = 1 - epsilon\nreturn p", "explore"),
        ("p = np.full(len(q), epsilon / len(q))\np[q.argmin()] += 1 - epsilon\nreturn p", "greedy")],
    "18_kl": [
        ("return (q * np.log(q / p)).sum()", "direction"), ("return (p * np.log(p / q)).sum()", "zero"),
        ("return (p * np.log((p + 1e-10) / (q + 1e-10))).sum()", "zero"),
        ("some = q > 0\nreturn -(p[some] * np.log(q[some])).sum()", "home"),
        ("some = p > 0\nreturn -(p[some] * np.log(p[some] / q[some])).sum()", "sign"),
        ("some = p > 0\nreturn (p[some] * np.log2(p[some] / q[some])).sum()", "factor")],
    "19_value_clip": [
        (but(VALUE, ("np.maximum", "2 * np.minimum")), "half"), (but(VALUE, ("np.maximum", "np.minimum")), "clip"),
        (but(VALUE, (" / 2", "")), "factor"),
        (but(VALUE, ("(each * mask).sum() / mask.sum()", "(each * mask).mean()")), "mask"),
        (but(VALUE, ("np.maximum((values - returns) ** 2, (held - returns) ** 2)", "(held - returns) ** 2")), "clip"),
        (but(VALUE, ("(each * mask).sum() / mask.sum()", "((each * mask).sum(1) / mask.sum(1)).mean()")), "mean")],
    "20_pass_at_k": [
        ("return 1 - (1 - right / answers) ** k", "sure"),
        ("return 1.0 if answers - right < k else 1 - (1 - right / answers) ** k", "back"),
        ("return right / answers", "sure"),
        ("return float(right > 0)", "one"), ("return 1 - (1 - 1 / answers) ** k", "none"),
        ("return min(1.0, k * right / answers)", "back"),
        ("return math.comb(answers - right, k) / math.comb(answers, k)", "one"),
        ("return 1 - float(math.comb(answers - right, k)) / float(math.comb(answers, k))", "law of large counts")],
    "21_gaussian": [
        (but(GAUSSIAN, (" - np.log(2 * np.pi) / 2", "")), "density"), (but(GAUSSIAN, (" - log_std", "")), "width"),
        (but(GAUSSIAN, ("(-e", "np.exp(-e")), "density"), (but(GAUSSIAN, ("np.exp(log_std)", "log_std")), "finite"),
        (but(GAUSSIAN, ("-e * e / 2", "-e * e")), "distance"), (but(GAUSSIAN, ("-e * e", "-abs(e)")), "distance"),
        (but(GAUSSIAN, (" / np.exp(log_std)", "")), "distance"), (but(GAUSSIAN, (".sum()", ".mean()")), "axes"),
        (but(GAUSSIAN, (".sum()", "")), "shape"), (but(GAUSSIAN, ("-e * e / 2 -", "e * e / 2 +")), "width"),
        ("e = (action - mean) / np.exp(log_std)\n"
         "return np.log(np.exp(-e * e / 2) / np.exp(log_std) / np.sqrt(2 * np.pi)).sum()", "overflow")],
    "22_standard_error": [
        (but(ERROR, (", ddof=1", "")), "deviation"), (but(ERROR, ("np.sqrt(", "(")), "root"),
        ("return values.std(ddof=1) / np.sqrt(values.size)", "prompts"),
        ("return (values.std(axis=1, ddof=1) / np.sqrt(values.size)).mean()", "mean"),
        (but(ERROR, ("values.size", "len(values)")), "divisor"),
        (but(ERROR, ("values.size", "values.shape[1]")), "divisor"), (but(ERROR, ("mean()", "sum()")), "divisor"),
        (but(ERROR, ("mean()", "sum()"), ("values.size", "values.shape[1]")), "divisor"),
        (but(ERROR, (" / values.size", "")), "divisor"),
        (but(ERROR, (", ddof=1", ""), ("values.size", "len(values)")), "deviation"),
        ("return values.mean(axis=1).std() / np.sqrt(len(values) - 1)", "finite"),
        ("return values.mean(axis=1).std() / np.sqrt(len(values))", "prompts: how far prompts are from each other"),
        (but(ERROR, ("np.sqrt(", "1 / len(values) + np.sqrt(")), "deviation"),
        ("return max(np.sqrt(values.var(axis=1, ddof=1).mean() / values.size), 1e-3)",
         "alike")],
}


@pytest.mark.parametrize("name", RIGHT_BODIES)
def test_the_bodies_are_right_without_their_errors(name):
    assert mark(written(name, RIGHT_BODIES[name]), BY_NAME[name]) == (RIGHT, ())


@pytest.mark.compiled_only("what a student writes is NumPy; ours is held to the same cases on both backends")
@pytest.mark.parametrize(("name", "body", "word"), [
    pytest.param(name, body, word, id=f"{name}-{i}-{word}") for name, each in ERRORS.items()
    for i, (body, word) in enumerate(each)])
def test_a_typical_error_is_caught_with_the_right_word(name, body, word):
    found = mark(written(name, body), BY_NAME[name])
    assert found.state == WRONG and found.sentences[0].startswith(f"{word}"), found.sentences


def test_every_exercise_has_two_errors_and_every_word_is_said_of_one():
    assert ERRORS.keys() == BY_NAME.keys() and min(map(len, ERRORS.values())) >= 2
    words = {(name, word) for name, each in ERRORS.items() for _, word in each}
    claimed = {(exercise.name, case.word) for exercise in EXERCISES for case in exercise.cases}
    assert claimed <= words


def test_no_sentence_tells_the_answer():
    for exercise in EXERCISES:
        for case in exercise.cases:
            ours = exercise.ours(*case.given)
            assert f" {shown(ours)} " not in f" {case.claim} " or not np.any(ours != 0)
    said = mark(written("07_ppo_clip", but(PPO, ("np.minimum", "np.maximum"))), BY_NAME["07_ppo_clip"]).sentences
    assert said == ("clip: A > 0: above the range nothing more is gained; with logp = [[-1]], logp_old = [[-1.693]], "
                    "advantage = [[1]], mask = [[1]], eps = 0.25 yours gives -2",)


def test_the_referee_names_what_was_written_instead():
    def second(name, body):
        return mark(written(name, body), BY_NAME[name]).sentences[1]

    assert second("10_k3", "return (logp - logp_ref) ** 2 / 2") == "what you wrote is k2"
    assert "ddof 0" in second("09_grpo_advantage", ERRORS["09_grpo_advantage"][0][0])
    assert "sequence mean" in second("07_ppo_clip", ERRORS["07_ppo_clip"][4][0])


# ---------------------------------------------------------------- what is no answer

@pytest.mark.parametrize(("body", "said"), [
    ("print('here')\nreturn logits", "prints: it should return the answer and print nothing; with logits = [0, 0]"),
    ("return [0.5, 0.5]", "type: with logits = [0, 0], temperature = 1 it returns a list; expected an array"),
    ("logits -= logits.max()\nlogits += 1\nreturn np.exp(logits)", "argument: it changes its argument logits, which"),
    ("pass", "type: with logits = [0, 0], temperature = 1 it returns None; expected an array: is a return missing?"),
    ("return logits[7]", "error: with logits = [0, 0], temperature = 1 it raises IndexError: index 7 is out of bounds"),
    ("raise SystemExit", "error: with logits = [0, 0], temperature = 1 it raises SystemExit"),
    ("return np.array(['a', 'b'])", "type: with logits = [0, 0], temperature = 1 it returns an array of <U1; expected"),
])
def test_what_is_no_answer_gets_a_sentence(body, said):
    found = mark(written("01_softmax", body), BY_NAME["01_softmax"])
    assert found.state == WRONG and found.sentences[0].startswith(said) and len(found.sentences) == 1, found


@pytest.fixture
def handed_in(tmp_path):
    """The path of an exercise with this body, or this text."""
    def write(name, body, student="anna", text=None):
        path = tmp_path / student / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        head = f"import numpy as np\nimport math\n\n\ndef {BY_NAME[name].call}:\n"
        path.write_text(text if text is not None else head + textwrap.indent(textwrap.dedent(body), "    "), "utf-8")
        return path
    return write


HANGS = ("loops", "swallows", "ignores")
LOGITS = "with logits = [0, 0], temperature = 1"
ALONE = {
    "loops": ("while True: pass", None, f"time: {LOGITS} there is no answer after 0.5 s: a loop without an end?"),
    "swallows": ("while True:\n    try:\n        raise ValueError\n    except BaseException:\n        pass", None,
                 f"time: {LOGITS} there is no answer after 0.5 s"),
    "leaves": ("import os\nos._exit(3)", None, f"error: {LOGITS} it ends the process, status 3"),
    "syntax": (None, "def softmax(logits:\n", "file: it cannot be read: '(' was never closed, line 1"),
    "import": (None, "import numpy\nx = numpy.nothing\n", "file: when it is read it raises AttributeError: module "
                                                          "'numpy' has no attribute 'nothing', in line 2"),
    "name": (None, "def Softmax(logits): ...\n", "name: the file has no function softmax(logits, temperature)"),
    "memory": ("return np.ones(1 << 40)", None, f"memory: {LOGITS} it asks for more than there is"),
    "line": ("\n\nreturn logits / nothing", None, f"error: {LOGITS} it raises NameError: name 'nothing' is not "
                                                  "defined, in line 8"),
    "ignores": ("import signal, time\nfor one in (signal.SIGALRM, signal.SIGXCPU):\n    signal.signal(one, 1)"
                "\ntime.sleep(60)", None, f"time: {LOGITS} there is no answer after 0.5 s"),
    "forks": ("import os\nif os.fork() == 0: os._exit(0)\nreturn logits", None,
              f"error: {LOGITS} it raises PermissionError: an exercise starts no other process, in line 7"),
    "writes": ("import os\nos.write(3, b'x')\nreturn logits", None, "prints: it should return the answer and print "
               "nothing; it writes 'x' to a file that it did not open"),
    "bytes": ("import os\nos.write(3, bytes([255, 10]))\nreturn logits", None, "prints: it should return the answer"),
    "mute": ("class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute", None,
             f"error: {LOGITS} it raises Mute: an error that cannot say what it is, in line 8"),
}


@pytest.mark.compiled_only("the process is the same")
@pytest.mark.parametrize("name", ALONE)
def test_a_file_that_fails_gets_a_sentence_and_harms_nobody(name, handed_in):
    body, text, said = ALONE[name]
    found = alone.marked(handed_in("01_softmax", body, text=text), seconds=0.5 if name in HANGS else 10)
    assert found.state == WRONG and found.sentences[0].startswith(said), found


@pytest.mark.parametrize(("name", "body", "said"), [
    ("12_bradley_terry", "return 10 ** 400", "it returns a number that no float can hold: OverflowError"),
    ("16_bpe_merge", "return [np.arange(2)] * len(tokens)", "the answer cannot be compared: ValueError"),
])
def test_an_answer_that_is_like_no_number_gets_a_sentence(name, body, said, handed_in):
    found = alone.marked(handed_in(name, body))
    assert found.state == WRONG and found.sentences[0].startswith("type: with ") and said in found.sentences[0], found


@pytest.mark.parametrize("name", ["04_discounted_return", "20_pass_at_k"])
def test_a_fraction_is_no_number_that_arrays_compute_with(name):
    from fractions import Fraction
    exercise = BY_NAME[name]
    found = mark(lambda *given: Fraction(float(exercise.ours(*given))), exercise)
    assert found.state == WRONG and "it returns a Fraction; expected a number, int or float" in found.sentences[0]
    assert found.sentences[0].startswith(f"type: with {exercise.arguments[0]} = ")
    assert mark(lambda *given: np.float32(exercise.ours(*given)), exercise).state == RIGHT


def test_a_file_with_null_bytes_says_no_line_that_it_does_not_have(handed_in):
    _, said = alone.read(handed_in("01_softmax", None, text="x = 1\0\n"), BY_NAME["01_softmax"])
    assert said.startswith("file: it cannot be read: ") and "null byte" in said and "None" not in said


# ---------------------------------------------------------------- the proofs

@pytest.mark.compiled_only("the proofs are run on NumPy, too")
def test_a_right_file_meets_the_proofs_and_what_the_cases_miss_they_find(handed_in, capsys):
    right = "d = gamma ** np.arange(len(rewards))\nreturn np.array([(rewards[t:] * d[:len(rewards) - t]).sum() "\
            "for t in range(len(rewards))])"
    path = handed_in("05_rewards_to_go", right)
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out == ("05_rewards_to_go.py: done\n    6 claims hold, and the proofs of "
                                       "formulas.returns.rewards_to_go\n")
    short = but(right, ("return ", "if len(rewards) > 3: d[3:] = 0\nreturn "))         # right for up to three steps
    found = alone._child(handed_in("05_rewards_to_go", short), 60, "proofs")
    assert found.state == WRONG
    proof = "proof: each reward to go is the discounted return of the rest; not with rewards=array("
    assert any(sentence.startswith(proof) for sentence in found.sentences), found


@pytest.mark.parametrize("exercise", [exercise for exercise in EXERCISES if exercise.proofs], ids=lambda e: e.name)
def test_the_proofs_that_are_named_exist(exercise):
    place, *tests = exercise.proofs
    text = (ROOT / "tests" / f"test_formulas_{place.split('.')[0]}.py").read_text("utf-8")
    assert tests and all(f"def {test}(" in text and place.split(".")[1] in text for test in tests)


# ---------------------------------------------------------------- the command

@pytest.mark.compiled_only("the process is the same")
def test_progress_and_a_class(handed_in, tmp_path, capsys):
    handed_in("16_bpe_merge", MERGE)
    handed_in("12_bradley_terry", ERRORS["12_bradley_terry"][1][0])
    handed_in("09_grpo_advantage", "raise NotImplementedError", student="bo, jr")
    (tmp_path / "carl").mkdir()
    assert main(["check", "--progress", str(tmp_path / "anna")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("not yet  12_bradley_terry.py  sign: a chosen answer that is ahead costs less")
    assert lines[3].split() == ["done", "16_bpe_merge.py"] and lines[-1] == "1 of 22 done"
    assert main(["check", "--class", str(tmp_path)]) == 1
    counts = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()[2:5]]
    assert counts == [["1", "2"], ["0", "1"], ["0", "0"]]
    with open(tmp_path / "marks.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["student"], row["exercise"], row["state"]) for row in rows] == [
        ("anna", "12_bradley_terry", WRONG), ("anna", "16_bpe_merge", RIGHT), ("bo, jr", "09_grpo_advantage", BEGUN),
        ("carl", "", BEGUN)]
    assert rows[0]["said"].startswith("sign: ")


@pytest.mark.compiled_only("the process is the same")
def test_a_file_that_is_gone_and_a_name_without_letters_end_no_class(handed_in, tmp_path, capsys):
    handed_in("09_grpo_advantage", "raise NotImplementedError")
    try:
        strange = handed_in("09_grpo_advantage", "raise NotImplementedError", student="x\udcff")
    except OSError:
        pytest.skip("this file system has no such name")
    (strange.parent / "07_ppo_clip.py").symlink_to("nowhere")
    assert main(["check", "--class", str(tmp_path)]) == 1
    assert "3 marks of 2 students" in capsys.readouterr().out
    with open(tmp_path / "marks.csv", encoding="utf-8", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert [row[:3] for row in rows] == [("anna", "09_grpo_advantage", BEGUN), (r"x\udcff", "07_ppo_clip", WRONG),
                                         (r"x\udcff", "09_grpo_advantage", BEGUN)]
    assert rows[1][3] == "file: it is a link to nothing; expected a file of Python"


def test_what_is_no_exercise_in_a_student_s_folder_is_said(handed_in, tmp_path, monkeypatch, capsys):
    (tmp_path / "anna" / "21_gaussian.py").mkdir(parents=True)
    for name in ("07_ppo_clip (1).py", "gaussian.py", "._09_grpo_advantage.py", "notes.txt"):
        (tmp_path / "anna" / name).touch()
    monkeypatch.setattr(command, "all_marked", lambda files, seconds: [
        Mark(WRONG, (alone.read(file, BY_NAME[file.stem])[1],)) for file in files])
    assert main(["check", "--class", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "anna        0          0", "",
        "anna: 2 files without an exercise's name, not marked: 07_ppo_clip (1).py, gaussian.py",
        f"{tmp_path / 'marks.csv'}: 1 mark of 1 student"]
    assert "file: it is a folder; expected a file of Python" in (tmp_path / "marks.csv").read_text("utf-8")
    assert main(["check", "--progress", str(tmp_path / "anna")]) == 1
    assert capsys.readouterr().out.endswith("done\n2 files without an exercise's name, not marked: "
                                            "07_ppo_clip (1).py, gaussian.py\n")
    inner = tmp_path / "anna" / "21_gaussian.py" / "21_gaussian.py"
    inner.touch()
    assert command.exercises_in(tmp_path / "anna") == [inner]


@pytest.mark.parametrize("place", ["nowhere/x.csv", "anna"])
def test_where_the_marks_cannot_be_written_nothing_is_marked(place, handed_in, tmp_path, monkeypatch, capsys):
    handed_in("16_bpe_merge", MERGE)
    monkeypatch.setattr(command, "all_marked", lambda *given: pytest.fail("it marks"))
    assert main(["check", "--class", str(tmp_path), "--csv", str(tmp_path / place)]) == 2
    said = capsys.readouterr().err
    assert "--csv is '" in said and "; expected a file in a folder that is there" in said


@pytest.mark.parametrize(("argv", "said"), [
    ([], "FILE is missing; expected files of exercises, such as exercises/01_softmax.py, or --progress or --class"),
    (["mine.py"], "file is 'mine.py'; expected the name of an exercise: 01_softmax.py, 02_top_p.py"),
    (["gone/01_softmax.py"], "gone/01_softmax.py: No such file or directory"),
    (["--progress", "."], "--progress is '.'; expected a folder that holds exercises"),
    (["--class", "."], "--class is '.'; expected a folder with a folder for each student"),
    (["--csv", "x.csv", "01_softmax.py"], "--csv is 'x.csv'; expected a file together with --class"),
    (["--seconds", "0", "01_softmax.py"], "--seconds is 0.0; expected a number in [0.001, 86400"),
    (["--seconds", "1e30", "01_softmax.py"], "--seconds is 1e+30; expected a number in [0.001, 86400"),
    (["--progress", ".", "01_softmax.py"], "FILE is given with another of the three; expected files of exercises"),
])
def test_bad_arguments_are_one_line(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"rlscratch: {said}") and err.count("\n") == 1, err
