"""What is not installed, and how to get it."""


class MissingToolError(ImportError):
    """What was asked for needs something that is not installed. The text says how to get it, and what works without."""
