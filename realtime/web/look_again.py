"""An event computed again from its recorded frames, by the live session's own code, for whoever reviews it.

``FaceMeter`` goes over the clip and cuts onset and apex as it does live; flow, strain and the map that the model sees
follow, and what the model says of it. With an onset or apex that the reviewer has moved, all this is of the moved ones.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg

from realtime.config import RecognitionSettings, SpotSettings
from realtime.errors import MerealtimeError, UserError
from realtime.sinks.lines import EventLine
from realtime.types import SpotEvent
from realtime.vision.face.regions import IMAGE_HEIGHT, IMAGE_WIDTH
from realtime.web.recorded import Recorded

Moments = tuple[int, int, int]
_LEAD_S = 0.1
_KEPT = 40
_LONGEST_S = 8.0
_STEP = 1 / 512
"""Of the flow as the page gets it, px: a 16 bit number counts these. Strain: a hundredth of it."""
_ARROW_PX = 10


class Looker:
    """Keeps the networks and the last results. One computation at a time."""

    def __init__(self, recorded: Recorded, lock: threading.Lock) -> None:
        """lock: who reads pictures holds it."""
        self._recorded, self._lock = recorded, lock
        self._one_at_a_time = threading.Lock()
        self._known: OrderedDict[tuple[int | None, Moments], dict[str, Any]] = OrderedDict()
        self._bundle: Any = None
        self._settings = _recognition(recorded.session.facts)

    def look(self, event: EventLine | None, moments: Moments) -> dict[str, Any]:
        """What the page shows of it. MerealtimeError, one line, where that can't be computed."""
        key = (None if event is None else event.id, moments)
        with self._one_at_a_time:
            if key not in self._known:
                self._known[key] = self._compute(event, moments)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return self._known[key]

    def _compute(self, event: EventLine | None, moments: Moments) -> dict[str, Any]:
        from realtime.vision.features import maps

        onset, apex, landmarks = self._crops(event, moments)
        spec = maps.FeatureSpec()
        flow = maps.flow_crops(onset, apex, spec)
        strained = maps.strain_of(flow, spec)
        cells = maps.map_from_flow(flow, landmarks, spec)
        scores, label, name = self._name(cells, np.inf if event is None else event.spot_score)
        return {
            "ok": True,
            "width": spec.crop_width,
            "height": spec.crop_height,
            "onset": _jpeg(onset),
            "apex": _jpeg(apex),
            "flow": _packed(flow, _STEP),
            "strain": _packed(strained, _STEP / 100),
            "step": _STEP,
            "arrows": _arrows(flow),
            "size": spec.map_size,
            "map": base64.b64encode(np.rint(cells).astype(np.uint8).tobytes()).decode(),
            "scores": scores,
            "label": label,
            "model": name,
        }

    def _name(self, cells: npt.NDArray[np.float32], spot_score: float) -> tuple[dict[str, float], str, str]:
        """What the session's model says of a map, by the session's rules; nothing where it is not to be had."""
        from realtime.recognition import bundle as bundles
        from realtime.recognition.naming import label_of

        if self._bundle is None:
            first = self._recorded.session.first
            try:
                self._bundle = bundles.load(first.model if first is not None else "laenet-composite")
            except UserError:
                self._bundle = False
        if self._bundle is False:
            return {}, "", ""
        scores = self._bundle.predict(cells[None])[0]
        told = {name: round(float(score), 4) for name, score in zip(self._bundle.labels, scores, strict=True)}
        return told, label_of(spot_score, scores, self._bundle, self._settings), self._bundle.card.name

    def _crops(
        self, event: EventLine | None, moments: Moments
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        from realtime.vision.spotting.crowd import make_meter

        recorded = self._recorded
        number = None if event is None else event.id
        onset, apex, offset = moments
        fps = recorded.fps
        lead, tail = round(_LEAD_S * fps), round(0.05 * fps)
        if offset - onset > _LONGEST_S * fps:
            raise MerealtimeError(f"longer than {_LONGEST_S:g} s: no flow is computed of it")
        wanted = [row for row in recorded.clip(number, onset, offset) if onset - lead <= row[0] <= offset + tail]
        first = recorded.session.first
        several = 1 if first is None else first.faces
        meter = make_meter(SpotSettings(faces=several), fps)
        try:
            seen = 0
            for frame, t_ns in wanted:
                with self._lock:
                    gray = recorded.picture(number, frame)
                if gray is not None:
                    meter.process(gray, frame, t_ns)
                    seen += 1
            if not seen:
                raise MerealtimeError("no frames of it were recorded")
            face = self._which(meter, event)
            spotted = SpotEvent(
                kind="micro", onset=onset, apex=apex, offset=offset, onset_t_ns=0, apex_t_ns=0, offset_t_ns=0,
                score=0.0, rois={}, decided=offset, face=face,
            )  # fmt: skip
            return meter.crops(spotted)
        finally:
            meter.close()

    def _which(self, meter: Any, event: EventLine | None) -> int:
        """Number, in this clip, of the event's face: the one nearest to where it was."""
        where = None if event is None else self._recorded.face_centre(event)
        if where is None:
            return 0
        away = {
            face: float(np.hypot(*(one.anchor.to_frame @ [IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2, 1.0] - where)))
            for face, one in enumerate(meter.meters())
            if one.anchor is not None
        }
        return min(away, key=lambda face: away[face], default=0)


def _recognition(facts: dict[str, Any]) -> RecognitionSettings:
    """The session's own; today's, where its folder says nothing that can be read."""
    settings = facts.get("settings")
    try:
        return msgspec.convert(settings.get("recognition") if isinstance(settings, dict) else None, RecognitionSettings)
    except msgspec.ValidationError:
        return RecognitionSettings()


def _jpeg(gray: npt.NDArray[np.uint8]) -> str:
    made: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(gray)[..., None], quality=95, colorspace="GRAY")
    return base64.b64encode(made).decode()


def _packed(values: npt.NDArray[Any], step: float) -> str:
    """float → 16 bit numbers of ``step`` each, little-endian, base64."""
    return base64.b64encode(np.clip(np.rint(values / step), -32768, 32767).astype("<i2").tobytes()).decode()


def _arrows(flow: npt.NDArray[np.float32]) -> list[list[float]]:
    """x, y, u, v, crop px: the mean flow around points of a grid."""
    height, width = flow.shape[:2]
    rows, columns = height // _ARROW_PX, width // _ARROW_PX
    cut = flow[: rows * _ARROW_PX, : columns * _ARROW_PX].reshape(rows, _ARROW_PX, columns, _ARROW_PX, 2)
    means = cut.mean((1, 3))
    half = _ARROW_PX / 2
    return [
        [x * _ARROW_PX + half, y * _ARROW_PX + half, *(round(float(v), 3) for v in means[y, x])]
        for y in range(rows)
        for x in range(columns)
    ]
