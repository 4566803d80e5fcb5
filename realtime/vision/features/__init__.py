"""From two aligned faces to what a model is fed: the crop, the flow and strain map, the flow region by region."""

from realtime.vision.features.maps import FeatureSpec, feature_map

__all__ = ["FeatureSpec", "feature_map"]
