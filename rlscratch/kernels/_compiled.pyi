"""For type checkers: the compiled core has the names and signatures of the NumPy backend."""
from rlscratch.kernels._numpy import *  # noqa: F403
