"""V4L2 cameras, driven by their own ioctls."""
