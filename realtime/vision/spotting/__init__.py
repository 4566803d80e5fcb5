"""From followed faces to events: what a region shows, when a movement begins, peaks and ends."""

from realtime.vision.spotting.divide import dc_rois
from realtime.vision.spotting.spotter import Spotter

__all__ = ["Spotter", "dc_rois"]
