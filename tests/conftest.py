"""What all tests share.

How the property tests draw their examples: the same ones in every run, or new ones on request:
``pytest --hypothesis-profile=new`` draws ten times as many, new ones, to look for what the usual ones miss.

Compiled loops run on NumPy: machine code takes a second to compile, and ``tests/compiler/test_numba.py`` is about it.

Tests skip what is not installed. With ``--no-skips`` a skipped test fails: so CI notices what it forgot to install.
"""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from microgradrnn.compiler import loop

# No deadline, and no complaint of slowness: a busy machine is not a bug.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", settings.get_profile("same"), derandomize=False, max_examples=1000, print_blob=True)
settings.load_profile("same")

loop.BACK_ENDS = ("numpy",)  # where a test does not ask for another


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails: all that tests need is here")


def failed_if_skipped(report: Any, config: pytest.Config) -> Any:
    """The report of a test or of a file of tests, as a failure if it was skipped and nothing may be."""
    if config.getoption("--no-skips") and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr
        report.outcome, report.longrepr = "failed", f"{report.nodeid}: skipped, with --no-skips: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that skips itself."""
    return failed_if_skipped((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """A file that skips all of its tests."""
    return failed_if_skipped((yield), collector.config)
