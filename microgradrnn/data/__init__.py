"""From text, trees and tasks to arrays. Everything random is drawn from a generator that you give."""

from microgradrnn.data.dates import dates
from microgradrnn.data.padding import pad, unpad
from microgradrnn.data.source import LABELS, functions, standard_library, syntax_tree, token_labels
from microgradrnn.data.tasks import adding, copy_memory, delayed_recall, latch, parity, sine
from microgradrnn.data.text import Stretch, Stretches, Vocabulary, windows

__all__ = [
    "LABELS", "Stretch", "Stretches", "Vocabulary", "adding", "copy_memory", "dates", "delayed_recall", "functions",
    "latch", "pad", "parity", "sine", "standard_library", "syntax_tree", "token_labels", "unpad", "windows",
]  # fmt: skip
