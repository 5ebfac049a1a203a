"""The pictures: each file is one kind, from a single cell to a thousand steps, painted as SVG."""
