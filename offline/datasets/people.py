"""Who is who: one name for a person and for a clip, however a folder, a sheet or a key spells them."""

from __future__ import annotations

import re

SPELLINGS = {
    "casme2": ("casme2", "casmeii"),
    "smic": ("smic", "smichs"),
    "samm": ("samm",),
    "ckplus": ("ckplus", "ck+", "ck"),
}
"""Data sets whose people are numbered, as others write them, without case, spaces, ``_`` and ``-``.

Other signs stay: without its brackets CAS(ME)^2, which is another data set, would read as casme2."""


_SAME_PEOPLE = {
    "smic": ("smicvis", "smicnir", "smice", "smicehs", "smichse"),
    "samm": ("sammlv", "sammlongvideos"),
}
"""Other releases, of the same people."""


def plain(name: str) -> str:
    """A data set's name without what spellings differ in."""
    return re.sub(r"[\s_-]+", "", name.lower())


def dataset_named(name: str) -> str | None:
    """Our name of a data set whose people are numbered; None: another one."""
    return next((ours for ours, spelt in SPELLINGS.items() if plain(name) in spelt), None)


def number_of(subject: str) -> int | None:
    """sub05, Sub5, s05, S005, 5 and 005 → 5; None: not a number with letters before it."""
    match = re.fullmatch(r"[a-z]*[\s_-]?(\d+)", subject.strip().lower())
    return int(match[1]) if match else None


def person_of(dataset: str, subject: str) -> str:
    """The one name of a person: ``smic/003`` for s3, s03 and S3 of SMIC; as spelt where people have no numbers.

    Three digits keep the order of people that the spellings with leading zeros have.
    """
    same = next((ours for ours, spelt in _SAME_PEOPLE.items() if plain(dataset) in spelt), None)
    ours, number = dataset_named(dataset) or same, number_of(subject)
    return f"{dataset}/{subject}" if ours is None or number is None else f"{ours}/{number:03d}"


def clip_of(dataset: str, subject: str, clip: str) -> tuple[str, str]:
    """Person and clip's name without the subject in it: sub05_EP12_03f and EP12_03f of sub05 and sub5 agree."""
    prefix = re.match(r"(?:sub|s)?(\d+)_", clip, re.IGNORECASE)
    mine = prefix is not None and int(prefix[1]) == number_of(subject)
    return person_of(dataset, subject), (clip[prefix.end() :] if prefix and mine else clip).lower()
