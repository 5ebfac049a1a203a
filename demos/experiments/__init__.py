"""Experiments from the literature on recurrent nets, small enough for one core.

    python -m demos.experiments                  # what was measured, against what was expected
    python -m demos.experiments --run recall     # measure what has no record yet, and keep it
    python -m demos.experiments --run recall --records out --workers 4            # all of it anew, in four processes
    python -m demos.experiments --run recall --records out --dask tcp://HOST:8786   # on the workers of a Dask cluster

Each module is one experiment: `points` lists its settings, and `run` takes one of them and returns what was measured.
The records of the longer ones are kept beside the modules, so that reading them takes no time. `sweep` runs one
function at many settings, wherever an executor runs it, and goes on after it was stopped.
"""
