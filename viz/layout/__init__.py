"""Coordinates: where the boxes of a cell, a row of cells, a tree or any graph stand, and how the wires run."""
