"""Every derivative rule of the engine, by kind. One row an operation."""
