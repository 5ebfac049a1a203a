"""The graph model, and graphs made of it: traced, written to files, cut into steps, folded, rolled up. No drawing."""
