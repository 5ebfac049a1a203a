"""Results that can be drawn. The functions that draw them are filled in when `viz` is imported.

So the numbers need no picture: nothing in `viz.flow` imports `viz.pictures` or `viz.plots`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class Drawable:
    """A result with a picture."""

    painter: ClassVar[Callable[..., Any]]

    def draw(self, **options: Any) -> Any:
        """The picture, a `Drawing`: by `viz.draw_comparison`, `viz.draw_recording` or `viz.draw_ways`, which say what
        the options are.
        """
        return type(self).painter(self, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle: dict[str, str] = self.draw()._repr_mimebundle_(include, exclude)
        return bundle
