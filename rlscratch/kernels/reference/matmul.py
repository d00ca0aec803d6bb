"""The product of two matrices.  Compiled: csrc/matmul.c."""
import numpy as np

Array = np.ndarray


def matmul(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False, out: Array | None = None) -> Array:
    """The product of two matrices, (M, N): out[i,j] = sum_k a[i,k] b[k,j].

    a  (M, K), or (K, M) with transpose_a
    b  (K, N), or (N, K) with transpose_b

    Compiled, a row of the result is the same bit for bit whatever the other rows are and however
    many; NumPy does not promise that.  Raises ValueError for shapes that do not fit, TypeError for
    dtypes other than float32 and float64 or two different ones.
    """
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)
