"""Hypothesis profiles (HYPOTHESIS_PROFILE = dev, ci or thorough) and the line that names the backend."""
import os

from hypothesis import HealthCheck, settings

from rlscratch import kernels

slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=slow_is_fine)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, suppress_health_check=slow_is_fine)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=slow_is_fine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_report_header() -> str:
    return f"rlscratch kernels: {kernels.BACKEND}"
