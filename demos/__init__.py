"""Runnable lessons: ``python -m demos.gradient_flow``."""
