"""How many threads pay: the cores that a process may really use, or what OMP_NUM_THREADS says."""
import os

import pytest

from rlscratch.kernels import cores


def machine(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(("chosen", "threads"), [("3", 3), ("2,4", 2), (" 5 ", 5), ("100", cores.MOST)])
def test_the_user_s_choice_comes_first(chosen, threads, tmp_path):
    assert cores.wanted({"OMP_NUM_THREADS": chosen}, tmp_path) == threads


@pytest.mark.parametrize("chosen", ["", "0", "-1", "many"])
def test_without_a_choice_it_is_the_cores_of_the_affinity_mask(chosen, tmp_path):
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cores.wanted({"OMP_NUM_THREADS": chosen}, tmp_path) == min(own, cores.MOST)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_an_affinity_mask_of_one_core_gives_one_thread(tmp_path):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores.wanted({}, tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("files", "allowed"), [
    ({}, cores.MOST),
    ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
    ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, cores.MOST),
    # the least of a group and of those above it
    ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
      "sys/fs/cgroup/a/cpu.max": "250000 100000\n"}, 2.5),
    # version 1
    ({"proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "150000\n",
      "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 1.5),
    ({"proc/self/cgroup": "3:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, cores.MOST),
])
def test_a_container_s_quota(files, allowed, tmp_path):
    assert cores.quota(machine(tmp_path, files)) == allowed


def test_half_a_core_is_one_thread_and_a_quota_is_rounded_down(tmp_path):
    half = machine(tmp_path / "half", {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"})
    assert cores.wanted({}, half) == 1
    more = machine(tmp_path / "more", {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "199000 100000\n"})
    assert cores.wanted({}, more) == 1
