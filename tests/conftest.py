"""Hypothesis profiles (HYPOTHESIS_PROFILE = dev, ci or thorough), the lines that name the backend, four fixtures.

A test whose claim does not depend on the backend, and that costs something, is not run a second time on NumPy:

    @pytest.mark.compiled_only("why NumPy's run loses nothing")
    @pytest.mark.compiled_only("calls no kernel", kernels=())

With `kernels` it is held to its word: it fails if it calls another one than those.  In a module that is marked so,
@pytest.mark.both_backends takes a test out.  `pytest --once`, which follows a run on the compiled core, leaves out all
that are marked, and ends with how many those were, by their reasons.  Without it NumPy runs those with `kernels`.
"""
import gc
import os
import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from kernel_cases import these_kernels_alone
from rlscratch import kernels

slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=slow_is_fine)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, suppress_health_check=slow_is_fine)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=slow_is_fine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


COMPILED_ONLY = "on the compiled core alone: "
LEFT_OUT = Counter()                    # reasons of the tests that --once left out
LONGEST = "test_a_script_prints_what_is_expected_and_draws_its_figure"


def pytest_addoption(parser):
    parser.addoption("--once", action="store_true", help="on NumPy, leave out the tests that are marked compiled_only")


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:       # in a shell's background job, for all it starts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "compiled_only(reason, kernels=any): not run on NumPy, which loses nothing "
                            "for this reason; calls these kernels alone")
    config.addinivalue_line("markers", "both_backends: run on NumPy, too, in a module that is not")


def pytest_collection_modifyitems(config, items):
    """Of many processes none begins the longest tests last, while the others have nothing left to do."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: getattr(item, "originalname", None) != LONGEST)
    if config.getoption("once", False) and kernels.BACKEND == "numpy":
        LEFT_OUT.update(marker.args[0] for item in items if (marker := compiled_only(item)))
        items[:] = [item for item in items if not compiled_only(item)]
        if hasattr(config, "workeroutput"):
            config.workeroutput["left out"] = dict(LEFT_OUT)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """One of many processes tells the first, which collects nothing; each has left out the same."""
    LEFT_OUT.update(Counter(getattr(node, "workeroutput", {}).get("left out")) - LEFT_OUT)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """The collector of garbage looks through all that lives; it need not go through 10,000 tests each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def compiled_only(item):
    """The test's marker, if it has one that counts."""
    return None if item.get_closest_marker("both_backends") else item.get_closest_marker("compiled_only")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    marker = compiled_only(item)
    if marker and kernels.BACKEND == "numpy" and "kernels" not in marker.kwargs:
        (reason,) = marker.args
        pytest.skip(COMPILED_ONLY + reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    marker = compiled_only(item)
    if marker is None or "kernels" not in marker.kwargs:
        return (yield)
    with these_kernels_alone(marker.kwargs["kernels"]):
        return (yield)


def pytest_report_header() -> str:
    return f"rlscratch kernels: {kernels.BACKEND}"


def pytest_terminal_summary(terminalreporter):
    """Under -q, too, and with many processes, where nobody sees the header or the collected tests."""
    skipped = (report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    reasons = LEFT_OUT + Counter(said.partition(COMPILED_ONLY)[2] for said in skipped if COMPILED_ONLY in said)
    terminalreporter.write_line(f"rlscratch kernels: {kernels.BACKEND}"
                                + (f"; {reasons.total()} tests run on the compiled core alone" if reasons else ""))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"    {count:4}  {reason}")


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


@pytest.fixture
def undrawn(monkeypatch):
    """No run draws its curve, which takes longer than many a short run; test_cli_tables.py looks at curves."""
    from rlscratch.report import curves
    monkeypatch.setattr(curves, "training", lambda folder, name="training_curves": folder / f"{name}.svg")


@pytest.fixture
def unsynced(monkeypatch):
    """No save waits until it is on the disk, which takes longer than many a short run."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="session")
def browser():
    """Chromium, driven: tests/browser.py."""
    chromium = pytest.importorskip("browser", reason="selenium is not installed")
    if chromium.MISSING:
        pytest.skip(f"there is no {chromium.MISSING} to open pages with")
    with chromium.opened() as window:
        yield window
