"""Curves and maps with matplotlib (the extra ``plots``), imported where used."""
