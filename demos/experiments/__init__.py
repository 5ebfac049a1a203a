"""Experiments from the literature on recurrent nets, small enough for one core.

    python -m demos.experiments                  # what was measured, against what was expected
    python -m demos.experiments --run recall     # measure what has no record yet, and keep it

Each module is one experiment: `points` lists its settings, and `run` takes one of them and returns what was measured.
The records of the longer ones are kept beside the modules, so that reading them takes no time.
"""
