#!/usr/bin/env bash
# What a user gets who has no checkout: builds the sdist, installs it alone in fresh environments,
# with a compiler and without one, and computes something with each.   Run by: make check-dist
set -euo pipefail
unset RLSCRATCH_REQUIRE_C RLSCRATCH_PURE RLSCRATCH_ISA      # a user has set none of them
cd "$(dirname "$0")/.."
python=$(cd "$(dirname "${1:-.venv/bin/python}")" && pwd)/$(basename "${1:-.venv/bin/python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; exit 1; }
sdist=$(ls "$work"/dist/rlscratch-*.tar.gz)
ls "$work"/dist/rlscratch-*.whl >/dev/null

compute='
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from rlscratch import kernels
    from rlscratch.formulas.distribution import softmax
    from rlscratch.mdp import MDP
import gymnasium, importlib.resources, sys
assert (importlib.resources.files("rlscratch") / "py.typed").is_file()
q, v = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False), gamma=0.99).solve()
assert abs(v[0] - 0.99**5) < 1e-12, v[0]
assert softmax([0.0, 0.0]).tolist() == [0.5, 0.5]
assert (kernels.BACKEND, len(caught)) == (sys.argv[1], int(sys.argv[2])), (kernels.BACKEND, caught)
print(f"sdist without a checkout: {kernels.BACKEND}, {kernels.ISA}, {len(caught)} warnings")
'
cd "$work"
"$python" -m venv with && RLSCRATCH_REQUIRE_C=1 with/bin/pip install --quiet --disable-pip-version-check "$sdist"
with/bin/python -c "$compute" compiled 0
with/bin/rlscratch info
judged=$(with/bin/rlscratch conform rlscratch.formulas.grpo:group_advantage --as group_advantage)
[ "$judged" = "agrees with z-score, ddof 1, eps 0" ] || { echo "conform says: $judged"; exit 1; }
with/bin/python -c 'from rlscratch.conformance import cases, contracts
print("cases:", {kind: len(cases.read(kind)[0]["cases"]) for kind in contracts.CONTRACTS})'
"$python" -m venv without && CC=/nonexistent/cc without/bin/pip install --quiet --disable-pip-version-check "$sdist"
without/bin/python -c "$compute" numpy 1
