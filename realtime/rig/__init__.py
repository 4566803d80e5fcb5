"""Will my rig do? A camera, a light and a face measured before anything is at stake: ``merealtime check``."""
