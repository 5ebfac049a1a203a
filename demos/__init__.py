"""Runnable lessons: ``python -m demos.gradient_flow``."""

import os

# Small matrices gain nothing from several threads, and on a busy machine the threads wait for each other: ten times
# slower was measured. NumPy reads this when it is first imported, so it must come before.
for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
