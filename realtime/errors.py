"""Typed errors. Each message is one line: what is wrong, where, what to do. Imports nothing of ours."""

from __future__ import annotations

import re

_SECRETS = (
    re.compile(r"(\w+:/{1,2}[^\s:/@]*):\S+@"),  # user:password@, whatever the password holds
    re.compile(r"([?&](?:pass\w*|pwd|pw|token|key|secret|auth)=)[^&\s]*", re.IGNORECASE),
)


def without_passwords(text: str) -> str:
    """The text with the passwords of its addresses as ``***``: for whatever is shown, logged or kept."""
    user, query = _SECRETS
    return query.sub(r"\1***", user.sub(r"\1:***@", text))


class MerealtimeError(Exception):
    """Something failed while running: exit code 1."""

    exit_code = 1


class UserError(MerealtimeError):
    """The user can mend it (bad option, missing file, bad key, broken bundle): exit code 2."""

    exit_code = 2


class ConfigError(UserError):
    """A settings file or key is wrong."""


class SourceError(UserError):
    """A source can't be opened as asked."""


class SourceLostError(MerealtimeError):
    """A live source went away while it was read; it may be opened again."""


class BundleError(UserError):
    """A model bundle is broken, or was made for other features."""


class BackendError(UserError):
    """A requested compute backend is not there (no GPU, no driver, no compiler)."""


class InputError(UserError, ValueError):
    """An array of wrong shape, dtype or content; the message names both."""


class RingError(MerealtimeError):
    """Shared memory could not be made, or was misused."""


class DatasetError(UserError):
    """A data set folder is not what it should be; the message gives path and expected layout."""
