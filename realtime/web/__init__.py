"""The page of a running session (``--web``) and of a recorded one (``merealtime review``): ``merealtime[web]``."""
