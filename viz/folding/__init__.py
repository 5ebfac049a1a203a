"""Smaller graphs that say the same: folded by step, module or repeat, or rolled up to one cell. No path is invented."""
