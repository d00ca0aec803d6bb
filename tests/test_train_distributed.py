"""One run on many processes: equal bits for any number of them, and one end for all.

Most of it needs no MPI: threads of this process speak to each other as processes do.
"""
import re
import sys
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from letters import begin, contents, hasten, letters, metrics, pays, plant
from rlscratch import checkpoint
from rlscratch.autograd import Tensor
from rlscratch.tasks.task import RewardError
from rlscratch.train import distributed
from rlscratch.train.language import command, dpo, evaluation, grpo, ppo, reward_model, sft
from rlscratch.train.pretraining import pretrain

OTHERS = pytest.mark.compiled_only("two methods are compared on NumPy, too")
METHODS = {m.METHOD.name: m.METHOD for m in (sft, reward_model, ppo, grpo, dpo)}
FEW = {"sft": dict(batch=20, shown=2), "ppo": dict(batch=13, minibatches=2, epochs=2), "grpo": dict(groups=3, group=5),
       "dpo": dict(batch=6, rankings=8, answers=3, max_kl=0.0), "reward-model": dict(batch=5, rankings=8, answers=3)}


# ---------------------------------------------------------------- threads that pass for processes

class Threads:
    """Process `rank` of `size`; what one has for the others lies on a table that they share."""

    def __init__(self, rank, size, table, barrier):
        self.rank, self.size, self.sent, self.table, self.barrier = rank, size, 0, table, barrier

    def _lay(self, mine):
        self.table[self.rank] = mine
        self.barrier.wait(10)
        found = list(self.table)
        self.barrier.wait(10)
        return found

    def gather(self, mine, sizes=None):
        self.sent += mine.nbytes * (self.size - 1)
        found = self._lay(mine.copy())
        assert sizes is None or [one.nbytes for one in found] == list(sizes)
        return found

    def exchange(self, mine, sizes):
        self.sent += sum(one.nbytes for rank, one in enumerate(mine) if rank != self.rank)
        found = [some[self.rank] for some in self._lay([one.copy() for one in mine])]
        assert [one.nbytes for one in found] == list(sizes)
        return found


def on(size, work):
    """What each of `size` processes makes of work(rank), or the error that it raises."""
    found, table, barrier = [None] * size, [None] * size, threading.Barrier(size)

    def one(rank):
        try:
            with distributed.among(Threads(rank, size, table, barrier)):
                found[rank] = work(rank)
        except BaseException as error:
            found[rank] = error
            if isinstance(error, (AssertionError, TypeError)):
                barrier.abort()

    threads = [threading.Thread(target=one, args=[rank]) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# ---------------------------------------------------------------- the cut and the sum

@pytest.mark.parametrize("count", [1, 5, 12, 16, 100])
def test_the_shards_hold_each_row_once_in_order_and_differ_by_one_row_at_most(count):
    cut = distributed.shards(count)
    assert [row for part in cut for row in range(count)[part]] == list(range(count))
    sizes = [part.stop - part.start for part in cut]
    assert len(cut) == distributed.SHARDS and max(sizes) - min(sizes) <= 1


def numbers(rows):
    """So different in size that every order of adding them gives other bits."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 7)) * 10.0 ** rng.integers(-8, 8, (rows, 1))


def halves(values):
    """The order that the module's docstring speaks of, written once more."""
    if len(values) == 1:
        return values[0]
    first, second = halves(values[:len(values) // 2]), halves(values[len(values) // 2:])
    return second if first is None else first if second is None else first + second


def added(rows, size, before=None):
    """What `size` processes have as the gradient of the sum of `rows` rows, and what each saw."""
    table = numbers(rows)

    def work(rank):
        used, unused = Tensor(np.zeros(7), requires_grad=True), Tensor(np.zeros(2), requires_grad=True)
        used.grad = before
        with distributed.gradient({"unused": unused, "used": used}, rows, 2) as (mine, found):
            for part in mine:
                assert part.stop - part.start in (1, 2)
                (used * table[part]).backward(np.ones((part.stop - part.start, 7)))
                found.append(part.start)
        assert unused.grad is None
        return used.grad, found

    return on(size, work)


@pytest.mark.parametrize("rows", [1, 5, 12, 29])
def test_the_sum_has_the_same_bits_for_every_number_of_processes(rows):
    table = numbers(rows)

    def shard(part):
        total = None
        for piece in distributed.cut(part, 2):
            piece = table[piece].sum(axis=0)
            total = piece if total is None else total + piece
        return total

    expected = halves([shard(part) for part in distributed.shards(rows)])
    for size in (1, 2, 3, 4, 5, 12):
        for gradient, found in added(rows, size):
            assert_array_equal(gradient, expected)
            assert found == [piece.start for part in distributed.shards(rows) for piece in distributed.cut(part, 2)]


def test_another_order_would_have_other_bits():
    table = numbers(12)
    (gradient, _), *_ = added(12, 1)
    left_to_right = sum(table[1:], table[0])
    np.testing.assert_allclose(gradient, left_to_right, rtol=1e-9, atol=1e-6)
    assert (gradient != left_to_right).any()


def test_what_was_there_before_is_added_to():
    (fresh, _), *_ = added(5, 2)
    (more, _), *_ = added(5, 2, before=np.ones(7))
    assert_array_equal(more, np.ones(7) + fresh)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_process_sends_a_gradient_twice_at_most_where_its_shards_are_one_subtree(size):
    P, groups = 1200, [[0] * size, threading.Barrier(size)]

    def work(rank):
        some = Tensor(np.zeros(P), requires_grad=True)
        processes = Threads(rank, size, *groups)
        with distributed.among(processes):
            before = processes.sent
            with distributed.gradient({"some": some}, 12, 1) as (mine, _):
                for part in mine:
                    (some * 1.0).backward(np.full(P, part.start))
        return processes.sent - before

    roots = {2: 1, 3: 3, 4: 1}[size]
    words = 8 * P * (size - 1) / size
    for sent in on(size, work):
        assert 2 * words <= sent <= (1 + roots) * words + 1000        # and what they tell each other of it


def test_pieces_are_shared_and_what_one_process_fails_at_fails_in_all():
    def squares(rank):
        with distributed.share(distributed.cut(slice(0, 10), 1)) as (mine, found):
            found.extend(piece.start ** 2 for piece in mine)
        return len(mine), found

    made = on(3, squares)
    assert [count for count, _ in made] == [3, 3, 4]
    assert all(found == [i * i for i in range(10)] for _, found in made)

    class Odd(Exception):
        def __init__(self, one, two):           # cannot be sent as it is
            super().__init__(one)

    def fails(rank):
        with distributed.share(distributed.cut(slice(0, 10), 1)) as (mine, found):
            for piece in mine:
                if piece.start in (4, 8):
                    raise RewardError(f"at {piece.start}") if rank == 1 else Odd("late", 2)
                found.append(piece)

    assert [(type(error), str(error)) for error in on(3, fails)] == [(RewardError, "at 4")] * 3

    def odd(rank):
        return distributed.agreed(lambda: (_ for _ in ()).throw(Odd("first", 2)))

    assert [str(error) for error in on(2, odd)] == ["first", "Odd: first"]


def test_what_the_first_says_holds_and_a_difference_ends_all():
    assert on(3, lambda rank: distributed.agreed(lambda: rank + 7)) == [7, 7, 7]
    for error in on(3, lambda rank: distributed.same("the number", rank // 2)):
        assert str(error) == "the number of process 2 is not that of process 0: 1 and 0"
    for error in on(2, lambda rank: (distributed.leads(), distributed.sharing())):
        assert error in ((True, True), (False, True))
    with pytest.raises(ValueError, match=r"processes is 13; expected an integer in \[1, 12\]"), \
            distributed.among(Threads(0, 13, [], None)):
        pass


# ---------------------------------------------------------------- whole runs

@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("begun") / "sft")


@pytest.fixture
def planted(monkeypatch):
    hasten(monkeypatch)
    monkeypatch.setattr(evaluation, "MOST", 20)
    plant(monkeypatch, letters())


def trained(name, folder, size, init=None, **more):
    """The run of a method on `size` processes; what each raised, if any did."""
    given = dict(task="addition", run_dir=str(folder), quiet=True, **FEW[name], **{"steps": 3, **more})
    if name != "sft":
        given["init"] = init

    def work(rank):
        time.sleep(rank / 20)                   # who comes late must not stumble over what the first has begun
        command.train(METHODS[name], command.arguments(METHODS[name], **given), show=False)

    return [error for error in on(size, work) if error is not None]


def assert_same_bits(one, other):
    a, b = checkpoint.load(one), checkpoint.load(other)
    for name, parameter in a.model.parameters().items():
        assert_array_equal(b.model.parameters()[name].data, parameter.data, err_msg=name)
    for what in ("m", "v"):
        for name, array in a.optimizer[what].items():
            assert_array_equal(b.optimizer[what][name], array, err_msg=name)
    assert a.rng.bit_generator.state == b.rng.bit_generator.state
    assert a.rng.bit_generator.seed_seq.state == b.rng.bit_generator.seed_seq.state
    assert metrics(one) == metrics(other)
    for name in ("samples.json", "tokenizer.json"):
        assert contents(one).get(name) == contents(other).get(name)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in ("sft", "ppo") else OTHERS) for name in
                                  METHODS])
def test_every_method_ends_in_the_same_bits_on_1_and_on_3_processes(name, begun, tmp_path, planted):
    for size in (1, 3):
        assert not trained(name, tmp_path / str(size), size, begun)
    assert_same_bits(tmp_path / "1", tmp_path / "3")
    assert "mpi4py" not in sys.modules


def test_so_does_pre_training_with_dropout(tmp_path, monkeypatch):
    text = tmp_path / "text"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 20)

    def work(folder, *more):
        args = pretrain_args(["--text", str(text), "--tokenizer", "characters", "--context", "8", "--width", "8",
                              "--layers", "1", "--heads", "2", "--batch", "7", "--steps", "3", "--save-every", "2",
                              "--dropout", "0.25", "--run-dir", str(folder), "--quiet", "--json", *more])
        return lambda rank: pretrain.train(args()) and None

    assert on(1, work(tmp_path / "1")) == [None]
    assert on(3, work(tmp_path / "3")) == [None] * 3
    assert_same_bits(tmp_path / "1", tmp_path / "3")
    refused, = {str(error) for error in on(2, work(tmp_path / "2", "--minutes", "1"))}
    assert "processes" in refused or "either minutes or steps" in refused


def pretrain_args(said):
    import argparse
    parser = argparse.ArgumentParser()
    pretrain.add_arguments(parser)
    return lambda: parser.parse_args(said)


def test_a_reward_that_fails_in_one_process_ends_all_and_the_run_goes_on_with_another_number(
        begun, tmp_path, monkeypatch, planted):
    def breaks(prompt, answer):
        if threading.current_thread() is not threading.main_thread() and (checkpoint_of(tmp_path / "broken") or 0) >= 2:
            raise ArithmeticError("broken")
        return pays(prompt, answer)

    assert not trained("grpo", tmp_path / "whole", 1, begun, steps=4, save_every=2)
    plant(monkeypatch, letters(reward=breaks))
    errors = trained("grpo", tmp_path / "broken", 2, begun, steps=4, save_every=2)
    assert len(errors) == 2 and len({(type(error), str(error)) for error in errors}) == 1
    assert isinstance(errors[0], RewardError) and "broken" in str(errors[0])
    assert checkpoint.load(tmp_path / "broken").step == 2
    plant(monkeypatch, letters())
    alone = begun_alone(tmp_path / "broken")
    assert "shards" in alone and "None" in alone
    assert not trained("grpo", tmp_path / "broken", 3, begun, steps=4, save_every=2, resume=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "broken")


def checkpoint_of(folder):
    found = re.search(r'"step": (\d+)', (folder / "checkpoint.json").read_text()) if (
        folder / "checkpoint.json").exists() else None
    return found and int(found[1])


def begun_alone(folder):
    """What a resumption says whose sums would have another order."""
    with pytest.raises(ValueError) as refused:
        command.train(grpo.METHOD, command.arguments(grpo.METHOD, task="addition", run_dir=str(folder), quiet=True,
                                                     resume=True, steps=4, **FEW["grpo"]))
    return str(refused.value)
