"""The error of what cannot be compiled, in a file of its own, so that who only catches it imports no more."""


class TraceError(TypeError):
    """The function cannot be compiled; the message says what in it, and what to do."""


class UnsteadyError(TraceError):
    """The function computes something else when it runs again; no other input changes that."""
