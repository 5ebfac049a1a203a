"""How fast, how small and how exact: ours against peers, side by side on this machine.

``python -m benchmarks [name ...]``. Each module here is one benchmark: a function ``rows()`` that yields the rows of
its table. Ratios are ours : theirs, so smaller is better, and a row meets its bar if the ratio is at most the bar.
"""
