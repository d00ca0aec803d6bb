"""Rows of a table by their ids, and the gradient of the table.  Compiled: csrc/embedding.c."""
import numpy as np

Array = np.ndarray


def embedding(table: Array, ids: Array, out: Array | None = None) -> Array:
    """Rows of a table: out[i] = table[ids[i]], (N, C).

    table  (V, C)
    ids    (N,)    integers in [0, V)
    """
    return np.take(table, ids, axis=0, out=out)


def embedding_backward(dout: Array, ids: Array, V: int, out: Array | None = None) -> Array:
    """The table's gradient, (V, C): row v is the sum of dout[i] over ids[i] = v, in the order of i.

    dout  (N, C)  derivative of the loss in what embedding returned
    ids   (N,)    as in the forward call
    V             rows of the table
    """
    dtable = np.empty((V, dout.shape[1]), dout.dtype) if out is None else out
    dtable[...] = 0
    np.add.at(dtable, ids, dout)
    return dtable
