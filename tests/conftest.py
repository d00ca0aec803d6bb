"""Hypothesis profiles (HYPOTHESIS_PROFILE = dev, ci or thorough), the line that names the backend, two fixtures."""
import os

import pytest
from hypothesis import HealthCheck, settings

from rlscratch import kernels

slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=slow_is_fine)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, suppress_health_check=slow_is_fine)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=slow_is_fine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_report_header() -> str:
    return f"rlscratch kernels: {kernels.BACKEND}"


@pytest.fixture(params=kernels.ISAS or ["numpy"])
def isa(request):
    """Each instruction set in turn; afterwards the one that was in use."""
    if kernels.BACKEND == "numpy":
        yield request.param
        return
    from rlscratch.kernels import _compiled
    _compiled._choose(request.param)
    yield request.param
    _compiled._choose(kernels.ISA)


@pytest.fixture
def on_threads():
    """on_threads(count, call): the call's result with so many threads."""
    before = kernels.threads()

    def run(count, call):
        kernels.set_threads(count)
        return call()

    yield run
    kernels.set_threads(before)
