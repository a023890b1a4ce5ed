"""What holds for every test: where CI runs, nothing that needs a privilege may be skipped."""

import os
from collections.abc import Generator

import pytest

MUST_RUN_IN_CI = ("root", "container")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    """Turn the skip of a privileged test into a failure where PROBE_CI is set.

    A machine without root, a peer or a kernel feature skips such a test with the reason. In CI the
    same skip would hide a missing install step behind a green run.
    """
    report = yield
    marks = [name for name in MUST_RUN_IN_CI if item.get_closest_marker(name)]
    if os.environ.get("PROBE_CI") and marks and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} is marked {', '.join(marks)} and must run in CI, but was skipped: "
            f"{reason}"
        )
    return report
