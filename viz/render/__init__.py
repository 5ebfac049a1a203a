"""Coordinates and labels to files: DOT and SVG."""
