"""From a trained model to the bundle that the camera loads."""
