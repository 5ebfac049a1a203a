"""What all tests share.

How the property tests draw their examples: the same ones in every run, or new ones on request:
``pytest --hypothesis-profile=new`` draws ten times as many, new ones, to look for what the usual ones miss.

Compiled loops run on NumPy: machine code takes a second to compile, and ``tests/compiler/test_numba.py`` is about it.
"""

from hypothesis import HealthCheck, settings

from microgradrnn.compiler import loop

# No deadline, and no complaint of slowness: a busy machine is not a bug.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", settings.get_profile("same"), derandomize=False, max_examples=1000, print_blob=True)
settings.load_profile("same")

loop.BACK_ENDS = ("numpy",)  # where a test does not ask for another
