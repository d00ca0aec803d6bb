"""Which test proves a formula.  The last line of the formula's docstring says it:

    Proof: tests/test_formulas_ppo.py, test_the_ratio_is_the_quotient_of_the_probabilities

Every public function of rlscratch.formulas has that line.  What entries call of other rooms is listed below.
"""
import inspect
import pkgutil
import re

LINE = re.compile(r"\n\nProof: (tests/test_\w+\.py), (test_\w+)\Z")

ELSEWHERE = {
    "rlscratch.check.probabilities": "tests/test_check.py::test_probabilities_are_non_negative_and_add_to_1",
    "rlscratch.bpe.tokenizer.Tokenizer.encode":
        "tests/test_bpe_tokenizer.py::test_encoding_is_what_the_definition_says",
    "rlscratch.mdp.process.MDP.solve":
        "tests/test_mdp_process.py::test_the_best_values_solve_the_bellman_equation_and_some_policy_has_them",
    "rlscratch.mdp.process.MDP.from_gymnasium":
        "tests/test_documents.py::test_the_lake_is_the_map_of_the_document",
}


def proof(function: object) -> str:
    """The test that a docstring names, as pytest takes it; "" if it names none.

    >>> from rlscratch.formulas.ppo import ratio
    >>> proof(ratio)
    'tests/test_formulas_ppo.py::test_the_ratio_is_the_quotient_of_the_probabilities'
    """
    found = LINE.search(inspect.getdoc(function) or "")
    return "::".join(found.groups()) if found else ""


def proof_of(source: str) -> str:
    """The same for a dotted name, such as an entry's source."""
    return ELSEWHERE.get(source) or (proof(pkgutil.resolve_name(source)) if source else "")
