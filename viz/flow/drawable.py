"""Results that can be drawn. The functions that draw them are filled in when `viz` is imported.

So the numbers need no picture: nothing in `viz.flow` imports `viz.pictures` or `viz.plots`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class Drawable:
    """A result with a picture."""

    painter: ClassVar[Callable[..., Any]]
    at_a_glance: ClassVar[Callable[[Any], Any] | None] = None  # what a notebook shows, if that is not the picture

    def draw(self, **options: Any) -> Any:
        """The picture, a `Drawing`. The options are those of the function that draws it: `viz.draw_unrolled` for a
        flow, `viz.draw_comparison`, `viz.draw_ways`, `viz.draw_recording`, `viz.plot_local_errors`, `viz.plot_shares`
        or `viz.plot_singular_values`.
        """
        return type(self).painter(self, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            shown = (type(self).at_a_glance or type(self).draw)(self)
            bundle: dict[str, str] = shown._repr_mimebundle_(include, exclude)
        except (ValueError, ImportError):  # too large to be drawn, or without matplotlib: a notebook shows the text
            return {"text/plain": repr(self)}
        return {**bundle, "text/plain": repr(self)}
