"""One run on many processes, and the same bits for any number of them.

Every process has the same model, optimiser and generators, and makes the same steps.  What takes time is shared:
answers by prompt, scores and gradients by row.  The rest, a step of AdamW say, each process does for itself.

The gradient of a batch is a sum over its rows, since a loss is sum(weight * per_token_loss) with weights that were
made for the whole batch (formulas.weights).  So the rows can be cut anywhere:

    g = g_0 + g_1 + ... + g_11        g_i: the gradient of the rows of shard i                         (1)

In real numbers (1) holds for every cut.  In floating point the last bits depend on two things: which rows a g_i has,
and in which order the g_i are added.  Here both are fixed, and neither knows how many processes there are:

    the cut      shard i of SHARDS has the rows from B i // SHARDS to B (i + 1) // SHARDS, and is computed alone
    the order    the sum over shards low to high - 1 is the sum over their first half plus that over their second

Process r of N computes the shards from SHARDS r // N to SHARDS (r + 1) // N.  In the tree of halves these are a few
whole subtrees, so it adds up what it has, and only the sums at the subtrees' roots have to travel:

    shards       0   1   2   3   4   5   6   7   8   9  10  11
    halves      (          0-5         ) (          6-11        )
                (   0-2    )(   3-5    ) (   6-8    )(   9-11   )        and so on, down to single shards
    2 processes  one root each;  4: one each;  3: (0-2)(3) | (4-5)(6)(7) | (8)(9-11)

Each process adds up the last levels for 1/N of the entries, and then all get all: for N = 2, 4, 6, 12 every process
sends (N - 1)/N of a gradient twice, as in a ring.  A sum from left to right would have the same fixed bits, but
process 1 could not begin before process 0 has ended.

A run that is not shared is not cut.  Its sums are in another order, so its last bits differ from those of a shared
run, and Run keeps in config.json which of both it is.  One process may go on with what many began.

Errors: what fails in the shared work of one process is raised in all of them, the first one's error, at the same
place.  Only the first process writes files and speaks (`leads`).

Source: Rabenseifner 2004, "Optimization of collective reduction operations" (first scatter the sums, then gather);
        Demmel and Nguyen 2013, "Fast reproducible floating-point summation", for why an order must be fixed.
Leaves out: models that do not fit one process (docs/SCALING.md); sending while the next shard is computed.
"""
import pickle
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain, pairwise
from typing import Any, Protocol, TypeVar
from zlib import crc32

import numpy as np

from rlscratch import check
from rlscratch.autograd import Tensor
from rlscratch.check import Array

SHARDS = 12                     # divided by 1, 2, 3, 4, 6 and 12; processes at most
T = TypeVar("T")


class Processes(Protocol):
    """How the processes that share a run speak to each other.  All call the same methods in the same order.

    rank, size  which of how many this is
    sent        bytes that it has sent to others
    """

    rank: int
    size: int
    sent: int

    def gather(self, mine: Array, sizes: Sequence[int] | None = None) -> list[Array]:
        """The bytes (uint8) of each process, in order, on each; sizes: of every one's, None: not known."""

    def exchange(self, mine: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        """mine[r] goes to process r; what each has for this one, which are so many bytes."""


class Alone:
    """One process: the cut and the order of many."""

    rank, size, sent = 0, 1, 0

    def gather(self, mine: Array, sizes: Sequence[int] | None = None) -> list[Array]:
        return [mine]

    def exchange(self, mine: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        return list(mine)


class Mpi:
    """The processes that an mpiexec has started.  Raises ValueError where mpi4py or an MPI is missing."""

    def __init__(self) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as missing:
            check.fail("processes", None, f"mpi4py with an MPI; pip install 'rlscratch[distributed]' ({missing})")
        self._mpi, self._all = MPI, MPI.COMM_WORLD
        self.rank, self.size, self.sent = self._all.rank, self._all.size, 0

    def gather(self, mine: Array, sizes: Sequence[int] | None = None) -> list[Array]:
        if sizes is None:
            lengths = np.empty(self.size, np.int64)
            self._wait(self._all.Iallgather(np.array([mine.nbytes]), lengths))
            sizes = lengths.tolist()
        found = np.empty(sum(sizes), np.uint8)
        self._wait(self._all.Iallgatherv([mine, self._mpi.BYTE], [found, sizes, self._mpi.BYTE]))
        self.sent += mine.nbytes * (self.size - 1)
        return np.split(found, np.cumsum(sizes)[:-1])

    def exchange(self, mine: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        found, counts = np.empty(sum(sizes), np.uint8), [piece.nbytes for piece in mine]
        self._wait(self._all.Ialltoallv([np.concatenate(mine), counts, self._mpi.BYTE],
                                        [found, sizes, self._mpi.BYTE]))
        self.sent += sum(counts) - counts[self.rank]
        return np.split(found, np.cumsum(sizes)[:-1])

    def abort(self, status: int) -> None:
        """End all processes."""
        self._all.Abort(status)

    def _wait(self, request: Any) -> None:
        """Until it is done.  Between two looks Ctrl-C is heard, and processes that have work get the core."""
        begin = time.perf_counter()
        while not request.Test():
            time.sleep(0 if time.perf_counter() - begin < PATIENCE else PAUSE)


PATIENCE, PAUSE = 0.01, 1e-4    # seconds that are waited without sleep; of a sleep

_now: ContextVar[Processes | None] = ContextVar("processes", default=None)


@contextmanager
def among(processes: Processes) -> Iterator[None]:
    """Within, the work is shared by these processes, of which this is one.

    Raises ValueError for more processes than shards, RuntimeError for processes that would round differently.
    """
    check.integer(1, SHARDS, processes=processes.size)
    before = _now.set(processes)
    try:
        same("the processor or the installation", _installation())
        yield
    finally:
        _now.reset(before)


def _installation() -> tuple:
    from rlscratch import __version__, kernels
    return __version__, kernels.BACKEND, kernels.ISA, np.__version__


def sharing() -> bool:
    """Whether the batch is cut into shards."""
    return _now.get() is not None


def leads() -> bool:
    """Whether this process is the one that writes and speaks."""
    processes = _now.get()
    return processes is None or processes.rank == 0


# ---------------------------------------------------------------- the cut

def shards(count: int) -> list[slice]:
    """Of `count` rows, SHARDS slices that follow each other; of fewer rows some are empty.

    >>> [part.stop - part.start for part in shards(16)]
    [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2]
    """
    return [slice(count * i // SHARDS, count * (i + 1) // SHARDS) for i in range(SHARDS)]


def cut(rows: slice, at_most: int) -> list[slice]:
    """Slices of at most so many rows; none of an empty one."""
    return [slice(start, min(start + at_most, rows.stop)) for start in range(rows.start, rows.stop, at_most)]


def parts(count: int, at_most: int) -> list[slice]:
    """What is computed at once of `count` rows: parts of at most so many rows, and within shards if work is shared."""
    return [part for rows in (shards(count) if sharing() else [slice(0, count)]) for part in cut(rows, at_most)]


def streams(rng: np.random.Generator, count: int) -> dict[int, np.random.Generator]:
    """A generator for what is random in each part of `count` rows, by its first row; not shared, `rng` itself."""
    if not sharing():
        return {0: rng}
    starts = [part.start for part in parts(count, count)]
    return dict(zip(starts, rng.spawn(len(starts)), strict=True))


@contextmanager
def share(pieces: Sequence[slice]) -> Iterator[tuple[Sequence[slice], list]]:
    """Each piece is done by one process.  Gives this one's pieces, and a list for what it makes of each.

    Behind the `with`, the list has what was made of all pieces, in their order, on every process.
    """
    processes, found = _now.get(), []
    if processes is None:
        yield pieces, found
        return
    failed = None
    try:
        yield _mine(processes, pieces), found
    except Exception as error:
        failed = error
    found[:] = chain.from_iterable(_told(processes, list(found), failed))


def agreed(say: Callable[[], T]) -> T:
    """What the first process says, on all: for what only one can know, or do."""
    processes = _now.get()
    if processes is None:
        return say()
    found, failed = None, None
    if processes.rank == 0:
        try:
            found = say()
        except Exception as error:
            failed = error
    return _told(processes, found, failed)[0]


def same(what: str, here: Any) -> None:
    """Raise RuntimeError, on all, where this is not the same on all."""
    processes = _now.get()
    if processes is not None:
        there = _told(processes, here)
        for rank, other in enumerate(there):
            if other != there[0]:
                raise RuntimeError(f"{what} of process {rank} is not that of process 0: {other} and {there[0]}")


def digest(parameters: Mapping[str, Tensor]) -> int:
    """A number by which parameters that differ in a bit are told apart."""
    found = 0
    for t in parameters.values():
        found = crc32(np.ascontiguousarray(t.data), found)
    return found


def _mine(processes: Processes, pieces: Sequence[T], rank: int | None = None) -> Sequence[T]:
    rank = processes.rank if rank is None else rank
    return pieces[len(pieces) * rank // processes.size: len(pieces) * (rank + 1) // processes.size]


def _told(processes: Processes, here: T, failed: Exception | None = None) -> list[T]:
    """What each process has, in their order.  Where one failed, all raise the first one's error."""
    mine = pickle.dumps((here, failed and _portable(failed)))
    told = [pickle.loads(one.tobytes()) for one in processes.gather(np.frombuffer(mine, np.uint8))]
    for rank, (_, error) in enumerate(told):
        if error is not None:
            raise failed if rank == processes.rank else error
    return [one for one, _ in told]


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same and can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


# ---------------------------------------------------------------- the sum

@contextmanager
def gradient(parameters: Mapping[str, Tensor], count: int, at_most: int) -> Iterator[tuple[Iterable[slice], list]]:
    """Equation (1): `share` for backward passes, which add to the parameters' gradients.

    count    rows of the batch
    at_most  rows of one part

    Behind the `with`, every process has the sum of what all have added.
    """
    processes, found = _now.get(), []
    if processes is None:
        yield parts(count, at_most), found
        return
    before = {name: t.grad if t.grad is None else t.grad.copy() for name, t in parameters.items()}
    cuts, reached, failed = shards(count), set(), None
    nodes = [[node for node in _roots(processes, rank) if any(part.start < part.stop for part in cuts[slice(*node)])]
             for rank in range(processes.size)]
    sums: list[Array] = []

    def mine() -> Iterator[slice]:
        for node in nodes[processes.rank]:
            sums.append((yield from _halves(*node, cuts, at_most, parameters, reached)))

    try:
        yield mine(), found
    except Exception as error:
        failed = error
    told = _told(processes, (list(found), reached), failed)
    found[:] = chain.from_iterable(some for some, _ in told)
    total, start = _everywhere(processes, nodes, sums, parameters), 0
    everyone = set().union(*(names for _, names in told))
    for name, t in parameters.items():
        own, old = total[start:start + t.size].reshape(t.shape), before[name]
        t.grad = old if name not in everyone else own if old is None else old + own
        start += t.size


def _halves(low: int, high: int, cuts: list[slice], at_most: int, parameters: Mapping[str, Tensor],
            reached: set[str]) -> Generator[slice, None, Array | None]:
    """Gives the parts of shards low to high - 1; returns the sum of their gradients, flat, None for no rows.

    cuts     the rows of each shard
    reached  the names of parameters that had a gradient are added to it
    """
    if high - low > 1:
        middle = (low + high) // 2
        left = yield from _halves(low, middle, cuts, at_most, parameters, reached)
        right = yield from _halves(middle, high, cuts, at_most, parameters, reached)
        return _added(left, right)
    if cuts[low].start == cuts[low].stop:
        return None
    for t in parameters.values():
        t.grad = None
    yield from cut(cuts[low], at_most)                  # the block of the `with` adds to the gradients meanwhile
    reached.update(name for name, t in parameters.items() if t.grad is not None)
    return np.concatenate([(np.zeros(t.size, t.dtype) if t.grad is None else t.grad).ravel()
                           for t in parameters.values()])


def _added(left: Array | None, right: Array | None) -> Array | None:
    """left + right, in left's place."""
    if left is None or right is None:
        return right if left is None else left
    left += right
    return left


def _roots(processes: Processes, rank: int, low: int = 0, high: int = SHARDS) -> list[tuple[int, int]]:
    """The largest nodes of the tree all of whose shards are those of one process.

    >>> _roots(Alone(), 0)
    [(0, 12)]
    """
    mine = _mine(processes, range(SHARDS), rank)
    if mine.start <= low and high <= mine.stop:
        return [(low, high)]
    if high <= mine.start or mine.stop <= low:
        return []
    middle = (low + high) // 2
    return _roots(processes, rank, low, middle) + _roots(processes, rank, middle, high)


def _everywhere(processes: Processes, nodes: list[list[tuple[int, int]]], sums: list[Array],
                parameters: Mapping[str, Tensor]) -> Array:
    """The sum over all shards, flat, on every process, from the sums at each one's nodes."""
    size, dtype = sum(t.size for t in parameters.values()), next(iter(parameters.values())).dtype
    bounds = [size * rank // processes.size for rank in range(processes.size + 1)]
    spans = [slice(*pair) for pair in pairwise(bounds)]
    lengths = [dtype.itemsize * (span.stop - span.start) for span in spans]
    here = np.array(sums, dtype).reshape(len(sums), size)
    own = lengths[processes.rank]
    came = processes.exchange([np.ascontiguousarray(here[:, span]).reshape(-1).view(np.uint8) for span in spans],
                              [len(some) * own for some in nodes])
    known = {node: sent[own * i:own * (i + 1)].view(dtype) for some, sent in zip(nodes, came, strict=True)
             for i, node in enumerate(some)}

    def total(low: int, high: int) -> Array | None:
        if (low, high) in known or high - low == 1:
            return known.get((low, high))
        return _added(total(low, (low + high) // 2), total((low + high) // 2, high))

    return np.concatenate(processes.gather(total(0, SHARDS).view(np.uint8), lengths)).view(dtype)
