"""A source that is not there at the moment: what a capture process starts with that finds no camera.

Its predecessor died while the camera was away. Capture then looks for it, as for one that it has lost itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.errors import MerealtimeError, SourceError, SourceLostError
from realtime.sources import Source, open_source
from realtime.stages.runner import StageContext
from realtime.types import SourceInfo, SourceRequest, Stamp


class Absent:
    """A ``Source`` that each read finds gone."""

    def __init__(self, info: SourceInfo, reason: str) -> None:
        self.info = info
        self._reason = reason

    def read(self, out: NDArray[np.uint8]) -> Stamp | None:
        raise SourceLostError(self._reason)

    def close(self) -> None:
        """Nothing is held."""


def open_or_absent(context: StageContext, request: SourceRequest) -> Source | None:
    """The source; one that is absent where a session already runs on it. None if we are to stop before."""
    try:
        source = open_source(context.settings.source.camera, request)
        context.row.put("looking", 0)
        return source
    except MerealtimeError as error:
        if not isinstance(error, (SourceError, SourceLostError)) or not context.row.get("frames"):
            raise
        order = context.wait_ring()
        if order is None:
            return None
        if order.info is None or not order.info.live:
            raise
        context.row.put("looking", 1)
        return Absent(order.info, str(error))
