"""Padding and its mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgradrnn.data import pad, unpad


@given(st.lists(st.lists(st.integers(-9, 9), max_size=7), min_size=1, max_size=6), st.integers(-3, 3))
def test_padding_and_back_changes_nothing(sequences: list[list[int]], value: int) -> None:
    x, mask = pad(sequences, value)
    assert x.shape == mask.shape == (max(map(len, sequences)), len(sequences))
    assert [s.tolist() for s in unpad(x, mask)] == sequences
    assert mask.sum(axis=0).tolist() == [len(s) for s in sequences]
    assert (x[~mask] == value).all()
    assert (mask[:-1] >= mask[1:]).all(), "what is real comes first"


def test_trailing_axes_and_dtypes_are_kept() -> None:
    x, mask = pad([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)])
    assert (x.shape, x.dtype, mask.shape) == ((4, 2, 3), np.float32, (4, 2))
    assert pad([[1], []])[0].dtype.kind == "i", "an empty list does not turn integers into floats"


def test_what_cannot_be_padded_is_refused() -> None:
    with pytest.raises(ValueError, match="no sequences"):
        pad([])
    for wrong in ([np.ones((2, 3)), np.ones((2, 4))], [1, 2]):
        with pytest.raises(ValueError, match="differ in their length only"):
            pad(wrong)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    x, mask = pad([[1, 2], [3]])
    for wrong in (mask.T[:1], mask[:, 0]):
        with pytest.raises(ValueError, match=r"unpad: the mask \(T, B\) holds the first two axes of x"):
            unpad(x, wrong)


def test_a_filling_that_is_no_whole_number_is_not_rounded() -> None:
    for value in (0.5, np.nan, -np.inf):
        x, _ = pad([[1, 2], [3]], value)
        np.testing.assert_array_equal(x, [[1.0, 3.0], [2.0, value]])
    assert pad([[1, 2], [3]], -1.0)[0].dtype.kind == "i"
    assert pad([[True, False], [True]])[0].dtype == bool
    assert pad([np.ones(2, np.float32), np.ones(1, np.float32)], 0.5)[0].dtype == np.float32
