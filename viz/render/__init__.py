"""Ink and paper: SVG, drawings and their files, colours, scales, boxes and the ways of wires."""
