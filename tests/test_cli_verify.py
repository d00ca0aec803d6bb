"""rlscratch verify: every test of a module is a claim, and its witnesses are those that it really calls."""
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derivatives import central_difference, complex_step
from rlscratch import autograd, expectations, formulas
from rlscratch.__main__ import main
from rlscratch.cli import verify
from rlscratch.formulas.distribution import expected_reward

pytestmark = pytest.mark.compiled_only("reads what pytest says of processes that set their backend")

HERE = Path(__file__).parent
RUN = "import sys, pathlib; from rlscratch.cli import verify; from rlscratch.__main__ import main; "
PLANTED = """
import pytest

@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_document_s_two_is_even(n):
    assert n != 2, "two is two"

def test_nothing_is_nothing():
    assert not 0
"""


# Planted: files whose proofs cannot run, the last one since its only test skips itself.
UNABLE = ["import no_such_module", "", "def test_x(no_such_fixture): pass",
          "import pytest\ndef test_x(): pytest.skip('no_such compiler')"]


def verified(code, *words, **options):
    """Standard output and error of a process that runs this, and its status."""
    done = subprocess.run([sys.executable, "-c", RUN + code, *words], capture_output=True, text=True, **options)
    return done.stdout, done.stderr, done.returncode


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Tests of weights -> what is said of them and the status, where these are all that there are; one process."""
    root = tmp_path_factory.mktemp("planted")
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", "utf-8")
    cases = (PLANTED, *UNABLE)
    for i, own in enumerate(cases):
        folder = root / f"tests{i}"                 # a name of its own: it is a part of the modules' names
        folder.mkdir()
        (folder / "test_formulas_weights.py").write_text(own, "utf-8")
        (folder / "test_fourth_witness.py").touch()
    out, err, status = verified(
        "[(setattr(verify, 'TESTS', pathlib.Path(folder)), print(main(['verify', 'weights'])), print('END'))"
        " for folder in sys.argv[1:]]", *(str(root / f"tests{i}") for i in range(len(cases))))
    assert (err, status) == ("", 0)
    said = [one.strip().rpartition("\n") for one in out.split("END\n")[:-1]]
    return {own: (f"{text}\n", int(code)) for own, (text, _, code) in zip(cases, said, strict=True)}


@pytest.mark.parametrize(("module", "pure"), [("trust_region", "0"), ("standard_error", "1")])
def test_all_tests_of_a_module_are_claims_and_they_hold(module, pure):
    """Also on NumPy alone, where `make test` does not repeat them."""
    out, err, status = verified("sys.exit(main())", "verify", module, cwd=HERE.parent,
                                env=os.environ | {"RLSCRATCH_PURE": pure, "RLSCRATCH_REQUIRE_C": "0"})
    names = re.findall(r"^def (test_\w+)", (HERE / f"test_formulas_{module}.py").read_text("utf-8"), re.M)
    claims = re.findall(r"^holds  (.*?)  ", out, re.M)
    assert (status, err) == (0, "") and len(names) >= 7
    assert {verify.sentence(name) for name in names} <= set(claims)
    assert f"formulas/{module}.py: {len(claims)} of {len(claims)} claims hold" in out


def test_a_claim_that_fails_is_shown_with_its_place_and_the_status_is_1(planted):
    out, status = planted[PLANTED]
    assert status == 1
    assert re.search(r"^FAILS  the document's two is even +3  by hand$", out, re.M)
    assert re.search(r"^holds  nothing is nothing +1  by hand$", out, re.M)
    assert "::test_the_document_s_two_is_even[2]\n    AssertionError: two is two" in out
    assert "formulas/weights.py: 1 of 2 claims hold" in out


@pytest.mark.parametrize("own", UNABLE)
def test_what_could_not_be_run_does_not_hold(own, planted):
    out, status = planted[own]
    assert status == 1
    assert re.search("0 of [01] claims hold", out)


def test_the_fourth_witness_is_heard_on_the_module_alone():
    claims = verify.Claims("kl")
    ids = [("kl.kl_k1_grad", "kl.kl_k2_grad", "ppo.value_grad"), "sign"]
    assert [claims._about(Item(name=name)) for name in ids[0]] == [True, True, False]
    assert not claims._about(Item(error="sign"))


class Item:
    """A collected test with these parameters."""

    def __init__(self, **params):
        self.callspec, self.function = self, verified
        self.params = params


def test_without_a_module_they_are_listed(capsys):
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.split() == formulas.__all__


def test_an_unknown_module_is_refused_with_those_that_there_are(capsys):
    assert main(["verify", "pppo"]) == 2
    assert re.match("rlscratch: module is 'pppo'; expected one of .*'ppo'", capsys.readouterr().err)


def test_an_installation_without_tests_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(verify, "TESTS", tmp_path)
    assert main(["verify", "ppo"]) == 1
    assert capsys.readouterr().err == (
        "rlscratch: the proofs are tests, which this installation lacks; clone the repository and run "
        "`make verify F=ppo` in it\n")


# ---------------------------------------------------------------- kinds, of tests that stand below

def by_hand():
    assert 1 + 1 == 2


def through_a_helper():
    helper()


def helper():
    complex_step(np.sum, [0.0])


def on_the_tape():
    autograd.Tensor([1.0])


def case_by_case():
    list(itertools.product("ab", "ab"))


def on_average():
    print(expectations.estimators)


def exact():
    expected_reward([1.0], [1.0])


@given(st.integers())
def drawn(n):
    central_difference(np.sum, [float(n)])


def caught():
    with pytest.raises(AssertionError):
        by_hand()


@pytest.mark.parametrize(("test", "kinds"), [
    (by_hand, ["by hand"]), (through_a_helper, ["complex step"]), (on_the_tape, ["autograd"]),
    (case_by_case, ["enumeration"]), (on_average, ["enumeration"]), (exact, ["enumeration"]),
    (drawn, ["central difference", "property"]), (caught, ["planted error"])])
def test_the_kind_is_what_the_test_calls(test, kinds):
    assert verify.kinds_of(test, "ppo") == kinds


def test_nothing_is_its_own_witness():
    assert verify.kinds_of(exact, "distribution") == ["by hand"]


def test_a_name_reads_as_a_sentence():
    assert verify.sentence("test_the_document_s_eight_steps") == "the document's eight steps"
    assert verify.sentence("test_the_paper_s_loss_is_ppo_s") == "the paper's loss is ppo's"
