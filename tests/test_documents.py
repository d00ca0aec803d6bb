"""The ledger of the documents' numbers: every entry holds, and would not if its formula were another.

Beside the entries, by hand: 44 of 94 blocks are 46.8%; "Ubiquitous" has U, q, t, s at 0, 3, 6, 9;
Down from state 0 is state 4; two rooms in which the batch mean turns the gradient, 3/4 and 1/2.
"""
import argparse
import ast
import importlib
import inspect
import json
import os
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch import formulas
from rlscratch.bpe import Tokenizer
from rlscratch.bpe.vocabulary import hidden
from rlscratch.documents import DOCUMENTS, entries, gpt2_tokens, ledger, rows_and_bars
from rlscratch.documents import d000_q_learning as q_learning
from rlscratch.documents import d004_fundamentals as fundamentals
from rlscratch.documents.d003_distributions_to_policies import distributions, rollouts
from rlscratch.documents.entry import KINDS, PINNED, VERDICTS, Entry, close, plain
from rlscratch.documents.errata import AFTER, CLAIMS, errata
from rlscratch.documents.proofs import ELSEWHERE, proof
from rlscratch.formulas import distribution, ppo, td
from rlscratch.mdp import MDP

HERE = Path(__file__).parent
ENTRIES = entries()
ONE = np.ones((1, 1))


def each(wanted: Callable[[Entry], bool]) -> pytest.MarkDecorator:
    """The test, once for every entry that is wanted."""
    chosen = [entry for entry in ENTRIES if wanted(entry)]
    return pytest.mark.parametrize("entry", chosen, ids=[entry.id for entry in chosen])


# ---------------------------------------------------------------- the entries themselves

@each(lambda entry: True)
def test_every_entry_holds(entry):
    assert entry.complaints() == []


def test_the_ledger_has_all_221_numbers_once_with_their_verdicts():
    listed = dict(line.split() for line in (HERE / "worked_number_ids.txt").read_text().splitlines())
    ids = [entry.id for entry in ENTRIES]
    assert len(listed) == 221 and len(ids) == len(set(ids)) and set(ids) == set(listed)
    assert {entry.id: entry.verdict for entry in ENTRIES} == listed


@pytest.mark.skipif("RLSCRATCH_GPT2" not in os.environ,
                    reason="RLSCRATCH_GPT2 does not name a folder with GPT-2's vocab.json and merges.txt")
def test_the_merges_quoted_for_the_documents_words_are_gpt2_s():
    folder = Path(os.environ["RLSCRATCH_GPT2"])
    whole = Tokenizer.from_gpt2(folder / "vocab.json", folder / "merges.txt")
    quoted = [line.split() for line in gpt2_tokens.MERGES.split(",")]
    assert [whole.merges[int(place)] for place, _, _ in quoted] == [(hidden(a), hidden(b)) for _, a, b in quoted]
    for text in ("The capital of Georgia is", " Tbilisi", "Ubiquitous", "Hello world"):
        assert gpt2_tokens.gpt2().encode(text) == whole.encode(text)


def test_entries_come_in_reading_order_of_the_documents():
    assert [entry.document for entry in ENTRIES] == sorted(entry.document for entry in ENTRIES)
    assert {entry.document for entry in ENTRIES} == set(DOCUMENTS)


@each(lambda entry: True)
def test_an_entry_says_what_its_verdict_and_kind_require(entry):
    assert entry.verdict in VERDICTS and entry.kind in KINDS
    assert entry.section and entry.formula and entry.claim.endswith(".")
    assert (entry.printed is None) == (entry.verdict == "derived")
    assert entry.tolerance == 0 or entry.tolerance >= PINNED
    told = len(entry.note) >= 30
    assert told or (entry.verdict not in ("convention", "differs") and entry.compute), "no finding told"
    if entry.compute is None:
        assert entry.kind in ("input", "statement") and not entry.source
    if entry.kind not in ("input", "statement"):
        assert entry.compute and entry.source and entry.proof
    if entry.kind == "run-dependent":
        assert entry.bound is not None
    elif entry.verdict == "convention":
        assert entry.otherwise is not None


@pytest.mark.compiled_only("calls no kernel", kernels=())
@each(lambda entry: entry.proof)
def test_the_test_that_proves_the_formula_exists(entry):
    assert_test_exists(entry.proof)


@cache
def functions(file: str) -> set[str]:
    """The names of all that a file of tests defines."""
    tree = ast.parse((HERE.parent / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def assert_test_exists(name: str) -> None:
    file, test = name.split("::")
    assert test in functions(file), name


def public_formulas() -> Iterator[Callable]:
    for module in pkgutil.iter_modules(formulas.__path__, "rlscratch.formulas."):
        for name, thing in vars(importlib.import_module(module.name)).items():
            if inspect.isfunction(thing) and thing.__module__ == module.name and not name.startswith("_"):
                yield thing


@pytest.mark.compiled_only("calls no kernel", kernels=())
@pytest.mark.parametrize("formula", list(public_formulas()), ids=lambda f: f.__name__)
def test_every_public_formula_names_the_test_that_proves_it(formula):
    assert_test_exists(proof(formula))
    assert re.search(rf"\b{formula.__name__}\b", (HERE.parent / proof(formula).split("::")[0]).read_text("utf-8"))


def test_no_proof_is_listed_for_what_no_entry_calls_or_what_names_its_own():
    sources = {entry.source for entry in ENTRIES}
    assert set(ELSEWHERE) <= sources and not any(proof(resolve(source)[2]) for source in ELSEWHERE)


# ---------------------------------------------------------------- a broken formula is seen

def resolve(source: str) -> tuple[object, str, Callable]:
    """Where a formula lives, its name there, and the formula."""
    parts = source.split(".")
    for n in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for name in parts[n:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1], getattr(owner, parts[-1])
    raise AssertionError(source)


@contextmanager
def replaced(source: str, make: Callable[[Callable], Callable]) -> Iterator[None]:
    """The formula of that name changed to make(formula), for a while; nothing cached survives either end."""
    owner, name, formula = resolve(source)
    broken = make(formula)
    with pytest.MonkeyPatch.context() as patch:
        q_learning.lake.cache_clear()
        patch.setattr(owner, name, staticmethod(broken) if inspect.ismethod(formula) else broken)
        yield
    q_learning.lake.cache_clear()


def on_results(change: Callable) -> Callable[[Callable], Callable]:
    """From a formula to one whose every result is changed."""
    return lambda formula: lambda *args, **kwargs: changed(formula(*args, **kwargs), change)


def changed(result: object, change: Callable) -> object:
    if isinstance(result, tuple | list):
        return type(result)(changed(part, change) for part in result)
    if isinstance(result, bool):
        return not result
    if isinstance(result, str):
        return result[::-1]
    return counted_from_one(result) if isinstance(result, MDP) else change(result)


def counted_from_one(process: MDP) -> MDP:
    """The same map with every number off by one: a state 0 that goes nowhere, then the others."""
    front = ((1, 0), (0, 0), (1, 0))
    transition = np.pad(process.transition, front)
    transition[0, :, 0] = 1
    return MDP(transition, np.pad(process.reward, front), process.gamma, np.pad(process.start, (1, 0)),
               np.pad(process.terminal, (1, 0)))


def forced(name: str, value: object) -> Callable[[Callable], Callable]:
    """From a formula to one that takes this value for that argument, whatever it is given."""
    def make(formula: Callable) -> Callable:
        def broken(*args: object, **kwargs: object) -> object:
            bound = inspect.signature(formula).bind(*args, **kwargs)
            bound.arguments[name] = value
            return formula(*bound.args, **bound.kwargs)
        return broken
    return make


SIGN, FACTOR, SHIFT = on_results(lambda x: -x), on_results(lambda x: 1.001 * x), on_results(lambda x: x + 0.001)


def fails(entry: Entry, make: Callable[[Callable], Callable]) -> bool:
    """Whether the entry sees the change: by a complaint, or because its calculation breaks down."""
    with replaced(entry.source, make), np.errstate(all="raise"):
        try:
            return bool(entry.complaints())
        except (ArithmeticError, ValueError, TypeError):
            return True


def is_number(value: object) -> bool:
    return any(map(is_number, value)) if isinstance(value, tuple) else isinstance(value, float) and value != 0


def called(entry: Entry) -> int:
    """How often the entry calls the formula that it names."""
    count = []
    with replaced(entry.source, lambda f: lambda *args, **kwargs: count.append(1) or f(*args, **kwargs)):
        entry.computed()
    return len(count)


@each(lambda entry: entry.source)
def test_an_entry_calls_the_formula_that_it_names(entry):
    assert callable(resolve(entry.source)[2]) and called(entry) >= 1


@each(lambda entry: entry.kind in ("computed", "restated"))
def test_a_computed_entry_calls_a_formula_of_ours(entry):
    assert entry.source.startswith("rlscratch.")


@each(lambda entry: entry.kind == "restated")
def test_what_could_hardly_be_otherwise_is_a_whole_a_zero_or_a_place(entry):
    trivial = entry.source == "rlscratch.check.probabilities" or entry.exact == 0
    assert entry.verdict in ("exact", "derived") and (trivial or entry.id in PLACES)


PLACES = ("S0.states.count", "S0.states.goal", "S0.zero_rows")


@each(lambda entry: entry.kind == "computed")
def test_no_zero_of_the_lake_s_table_and_no_sum_of_a_row_is_counted_as_computed(entry):
    assert entry.source not in ("rlscratch.check.probabilities", "") and not (
        entry.id.startswith("S0.qtable.") and entry.exact == 0)


EVEN = ("S4.baseline.bias.T2",)          # the length of a bias, which is the same for -b


@each(lambda entry: entry.source and is_number(plain(entry.exact)))
def test_a_sign_and_a_factor_of_1_001_make_an_entry_fail(entry):
    assert fails(entry, FACTOR)
    assert fails(entry, SIGN) == (entry.id not in EVEN)


@each(lambda entry: entry.source and not is_number(plain(entry.exact)))
def test_zeros_counts_and_choices_fail_by_a_shift_or_a_sign(entry):
    assert fails(entry, SHIFT) or fails(entry, SIGN)


PLANTED = [(entry, name, value) for entry in ENTRIES for name, value in entry.planted.items()]


@pytest.mark.parametrize("entry, name, value", PLANTED, ids=[f"{e.id}-{name}" for e, name, _ in PLANTED])
def test_the_other_choice_of_an_argument_makes_an_entry_fail(entry, name, value):
    with replaced(entry.source, forced(name, value)):
        assert entry.complaints() != []


def test_the_choices_that_the_documents_differ_on_are_all_planted():
    planted = {(entry.source.rpartition(".")[2], name, str(value)) for entry, name, value in PLANTED}
    assert planted >= {
        ("group_advantage", "ddof", "0"), ("discounted_return", "first_power", "1"), ("top_p", "rule", "hf"),
        ("top_k", "ties", "all"), ("top_k", "k", "4"), ("group_advantage", "eps", "0.0001"),
        ("ppo_clip_loss", "eps_high", "0.3"), ("epsilon_greedy", "ties", "first"), ("q_target", "discount", "0.9")}


@each(lambda entry: entry.verdict in ("exact", "rounds", "differs") and entry.kind != "statement")
def test_another_verdict_would_not_hold(entry):
    others = {"exact", "rounds", "differs", "convention"} - {entry.verdict}
    if entry.verdict == "differs":                   # without its assumption, the entry has nothing to hang on
        entry = replace(entry, otherwise=None)
    assert all(replace(entry, verdict=verdict).complaints() for verdict in others)


@each(lambda entry: isinstance(plain(entry.exact), float | int) and entry.compute)
def test_another_pinned_value_would_not_hold(entry):
    assert replace(entry, exact=not entry.exact if isinstance(entry.exact, bool) else entry.exact + 2e-6).complaints()


@each(lambda entry: entry.verdict == "convention" and entry.otherwise and entry.kind != "statement")
def test_a_convention_that_both_choices_meet_would_not_hold(entry):
    assert replace(entry, otherwise=entry.computed).complaints()


def test_values_are_compared_entry_by_entry_and_kind_by_kind():
    assert close((1.0, "a", True), (1.004, "a", True), 0.005)
    for other in ((1.006, "a", True), (1.0, "b", True), (1.0, "a", 1), (1.0, "a"), 1.0, None):
        assert not close((1.0, "a", True), other, 0.005)
    assert plain([np.float32(0.5), np.arange(2), np.bool_(True)]) == (0.5, (0, 1), True)


# ---------------------------------------------------------------- the documents, by hand

def test_the_lake_is_the_map_of_the_document():
    lake = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert "".join("HG"[s == 15] if end else "." for s, end in enumerate(lake.terminal)) == ".....H.H...HH..G"
    moves = {(0, 0): 0, (0, 1): 4, (0, 2): 1, (0, 3): 0, (4, 2): 5, (14, 2): 15, (3, 2): 3, (9, 1): 13}
    assert {(s, a): int(lake.transition[s, a].argmax()) for s, a in moves} == moves
    assert lake.start[0] == 1 and lake.reward.sum() == 1 and lake.reward[14, 2, 15] == 1


def test_no_entry_of_the_table_is_above_its_target():
    slack = [q_learning.target(s, a) - q_learning.PRINTED[s, a] for s, a in np.ndindex(16, 4)
             if not q_learning.lake().terminal[s]]
    assert len(slack) == 44 and min(slack) >= -0.0001
    assert sum(abs(x) <= 0.00015 for x in slack) == 31             # and so many satisfy Bellman's equation


def test_twenty_two_of_the_positive_entries_are_powers_of_gamma():
    positive = q_learning.PRINTED[q_learning.PRINTED > 0]
    powers = np.round(0.99 ** np.arange(8), 4)
    assert len(positive) == 35 and np.isin(positive, powers).sum() == 22


def test_a_penalty_for_holes_changes_the_nine_moves_into_them_and_nothing_else():
    plain_q, stern_q = q_learning.lake().solve()[0], q_learning.lake(hole=-1).solve()[0]
    into_holes = {(1, 1), (3, 1), (4, 2), (6, 0), (6, 2), (8, 1), (9, 3), (10, 2), (13, 0)}
    assert {tuple(place) for place in np.argwhere(plain_q != stern_q)} == into_holes
    assert all(stern_q[place] == -1 for place in into_holes)


def test_q_learning_is_value_iteration_only_without_chance_and_at_full_step():
    lake, q = q_learning.lake(), np.zeros((16, 4))
    for sweep in range(1, 8):
        q = np.array([[td.q_learning_update(q, s, a, q_learning.reward(s, a), q_learning.step(s, a), 1.0, 0.99)[s, a]
                       for a in range(4)] for s in range(16)])
        assert_allclose(q, lake.solve(horizon=sweep)[0][0], atol=1e-12)
    slippery = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=True))
    optimum, reached = slippery.solve()[0], np.flatnonzero(slippery.transition[14, 2])
    targets = [td.q_target(slippery.reward[14, 2, s], optimum[s], 0.0 if slippery.terminal[s] else 0.99)
               for s in reached]
    assert np.ptp(targets) > 0.1 and min(abs(y - optimum[14, 2]) for y in targets) > 0.01
    assert_allclose(slippery.transition[14, 2, reached] @ targets, optimum[14, 2])


def test_the_clipped_sample_of_document_002_teaches_nothing_more():
    logp_old, advantage = np.log(0.33) * ONE, 2 * ONE
    assert ppo.ppo_clip_grad(np.log(0.40) * ONE, logp_old, advantage, ONE).item() == 0
    assert ppo.ppo_clip_grad(np.log(0.39) * ONE, logp_old, advantage, ONE).item() < -2


def test_only_three_quarters_of_the_direction_rounds_to_the_printed_update():
    scale = np.array([0.1, 0.2, 0.3])
    low, high = (np.array([0.08, 0.15, 0.22]) - 0.005) / scale, (np.array([0.08, 0.15, 0.22]) + 0.005) / scale
    assert_allclose([low.max(), high.min()], 0.75)


def test_nine_words_fit_a_smaller_top_p():
    assert [distributions.kept(distribution.top_p(distributions.I_FEEL, p)) for p in (0.9, 0.86, 0.79)] == [10, 9, 8]


def test_bars_are_counted_by_hand():
    shares = [rows_and_bars.share(44, 50), rows_and_bars.share(84, 19), rows_and_bars.share(1, 3)]
    assert_allclose(shares, [0.468085, 0.815534, 0.25], atol=5e-7)
    assert_allclose(rows_and_bars.blocks(0.40, 0.04, size=0.02), [20, 2])
    assert_allclose([np.mean((40, 60, 70)), np.mean((95, 98, 92))], [170 / 3, 95])


def test_code_answers_are_judged_by_running_them():
    verdicts = [rollouts.sorts(answer, (3, 1, 2)) for answer in rollouts.SORTS]
    assert verdicts == [True, True, False, False, True]
    assert rollouts.SORTS[3]([2, 1]) is None
    with pytest.raises(NameError, match="bubble_sort"):
        rollouts.SORTS[2]([2, 1])
    assert [f(-3) for f in rollouts.FIBONACCI] == [-3, 0, -3]
    assert [f(10) for f in rollouts.FIBONACCI] == [55, 55, 55]
    assert not rollouts.agree((lambda n: n, lambda n: n * n), (0, 1, 2))


def test_every_third_character_is_counted_by_hand():
    assert fundamentals.every_third("abcdefgh") == "adg"


def test_in_two_rooms_the_batch_mean_turns_the_gradient():
    process = fundamentals.ROOMS()
    exact = process.policy_gradient(np.zeros((2, 2)), 2)
    assert_allclose(exact, [[0.25, -0.25], [-0.25, 0.25]])
    for n in (1, 2, 3):
        ratio = fundamentals.expected_estimate(process, 2, n, fundamentals.batch_mean) / exact
        assert_allclose(ratio, [[1 - 1 / (2 * n)] * 2, [1 - 1 / n] * 2], atol=1e-12)
    assert_allclose(np.array(fundamentals.bias(fundamentals.batch_mean)) * [1, 2, 3], np.sqrt(10) / 4)


# ---------------------------------------------------------------- errata

def test_errata_name_every_finding_once_in_reading_order():
    findings = errata()
    numbered = [id for finding in findings if finding not in CLAIMS for id in finding.ids]
    ids = [entry.id for entry in ENTRIES]
    assert Counter(numbered) == Counter(
        e.id for e in ENTRIES if e.verdict in ("differs", "convention") and e.kind not in ("drawing", "quoted"))
    firsts = [ids.index(finding.ids[0]) for finding in findings if finding not in CLAIMS]
    assert firsts == sorted(firsts)
    assert [finding for finding in findings if finding in CLAIMS] == list(CLAIMS) and set(AFTER) <= set(ids)
    assert [finding.document for finding in findings] == sorted(finding.document for finding in findings)


@pytest.mark.compiled_only("calls no kernel", kernels=())
def test_each_erratum_says_what_holds_and_where_it_is_tested():
    for finding in errata():
        assert finding.verdict in ("differs", "convention")
        assert len(finding.holds) >= 30 and finding.printed.endswith(".")
        assert finding.tested and set(finding.ids) <= {entry.id for entry in ENTRIES}
        for name in finding.tested:
            assert_test_exists(name)


# ---------------------------------------------------------------- the ledger

def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    ledger.add_arguments(parser)
    return ledger.run(parser.parse_args(argv))


def test_the_table_shows_each_number_with_its_finding(capsys):
    assert run("--document", "002", "--verdict", "differs") == 0
    out = capsys.readouterr().out
    assert [line.split()[:4] for line in out.splitlines() if line.startswith("S2")] == [
        ["S2.grpo.mean", "differs", "1.67310", "1.666667"]]
    assert "no assumption gives 1.6731" in out and out.splitlines()[-1].endswith(" 0 failed.")
    assert run("--document", "002", "--verdict", "WRONG") == 0 and capsys.readouterr().out == out


def test_the_totals_count_what_a_formula_computed_apart_from_what_holds_anyway(capsys):
    assert run("--document", "003", "--kind", "drawing") == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if line.startswith(("kind", "drawing"))] == [
        ["kind", *VERDICTS, "all"], ["drawing", "3", "3", "2", "4", "1", "13"]]
    assert out.splitlines()[-1] == "A formula computed 0 of 13 numbers. The others: 13 drawing. 0 failed."
    computed = [entry.verdict for entry in ENTRIES if entry.kind == "computed"]
    assert ledger.headline(ledger.table()).startswith(
        f"A formula computed {len(computed)} of {len(ENTRIES)} numbers: {computed.count('derived')} that no document "
        f"prints; of the others {computed.count('exact')} agree exactly, {computed.count('rounds')} after rounding, "
        f"{computed.count('convention')} under one convention, {computed.count('differs')} not. The others: ")
    assert ledger.counts(ledger.table())["computed"] == Counter(computed)


def test_the_whole_table_has_every_entry_and_no_line_too_long(capsys):
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert [start for start in starts if start.startswith("S")] == [entry.id for entry in ENTRIES]
    assert max(map(len, lines)) <= ledger.WIDTH


@pytest.mark.parametrize("name", ["document", "verdict", "kind"])
def test_a_filter_keeps_what_it_names_and_filters_together_keep_what_all_name(name):
    values = {getattr(entry, name) for entry in ENTRIES}
    parts = {value: [row.entry for row in ledger.table(**{name: value})] for value in values}
    assert parts == {value: [entry for entry in ENTRIES if getattr(entry, name) == value] for value in values}
    both = ledger.table(document="003", verdict="differs", kind="drawing")
    assert [row.entry.id for row in both] == [
        "S3.weather.bars1.blocks", "S3.weather.bars2.blocks", "S3.france.bar43", "S3.cap.help.pre"]
    assert ledger.table(document="001", verdict="differs") == []


def test_as_json_the_last_line_is_the_same_table(capsys):
    assert run("--json") == 0
    data = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["id"] for row in data["entries"]] == [entry.id for entry in ENTRIES]
    assert data["failed"] == {} and sum(map(sum, (of.values() for of in data["counts"].values()))) == len(ENTRIES)
    row = next(row for row in data["entries"] if row["id"] == "S2.ratio")
    assert (row["printed"], row["tolerance"], row["holds"]) == (1.21, 0.005, True)
    assert row["source"] == "rlscratch.formulas.ppo.ratio" and abs(row["computed"] - 0.40 / 0.33) < 1e-12


def test_a_broken_formula_fails_the_ledger_and_names_its_entries(capsys):
    with replaced("rlscratch.formulas.ppo.ratio", FACTOR):
        assert run("--document", "002") == 1
    captured = capsys.readouterr()
    assert "2 entries do not hold (S2.ratio, S2.ratio.third)" in captured.err and "FAILED: computed" in captured.out
    assert captured.out.splitlines()[-1].endswith(" 2 failed.")


def test_a_word_that_is_no_choice_ends_with_status_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        run("--document", "007")
    assert "invalid choice: '007'" in capsys.readouterr().err
