"""From followed faces to events: what a region shows, when a movement begins, peaks and ends."""

from realtime.vision.spotting.spotter import Spotter, dc_rois

__all__ = ["Spotter", "dc_rois"]
