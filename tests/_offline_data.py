"""Small data for the offline tests: maps with a pattern a class, and folders in each data set's layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from openpyxl import Workbook

from offline.datasets.flowmaps import MapSet

SHARED = Path(__file__).resolve().parents[2] / "shared"
COMPOSITE = SHARED / "data" / "composite.npz"


def made_maps(subjects: int = 8, each: int = 9, noise: float = 0.5, seed: int = 0) -> MapSet:
    """Maps whose class shows: a blob of motion at the brows, the mouth's corner or the chin, under noise."""
    random = np.random.default_rng(seed)
    places, ways = [(8, 14), (18, 20), (24, 14)], [(0, -1), (-0.7, -0.7), (0, 1)]
    y, x = np.mgrid[:28, :28]
    maps, label, subject = [], [], []
    for s in range(subjects):
        for k in range(each):
            c = k % 3
            blob = np.exp(-((y - places[c][0]) ** 2 + (x - places[c][1]) ** 2) / 18)
            stack = np.stack([ways[c][0] * blob, ways[c][1] * blob, blob], -1)
            stack += noise * cv2.GaussianBlur(random.standard_normal((28, 28, 3)), (0, 0), 1.5) * 2
            low, high = stack.min((0, 1)), stack.max((0, 1))
            maps.append((stack - low) / (high - low) * 255)
            label.append(c)
            subject.append(f"s{s:02d}")
    names = tuple(f"{s}_{i}" for i, s in enumerate(subject))
    return MapSet(
        maps=np.array(maps, np.float32),
        label=np.array(label),
        subject=tuple(subject),
        dataset=("made",) * len(maps),
        clip=names,
    )


def images(folder: Path, names: list[str], pixels: list[np.ndarray] | None = None) -> None:
    """Write tiny images, or the given ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image = np.full((8, 8), number, np.uint8) if pixels is None else pixels[number]
        assert cv2.imwrite(str(folder / name), image)


def sheet(file: Path, rows: list[list[object]], *more: list[list[object]]) -> None:
    """Write a spreadsheet of one or more sheets."""
    book = Workbook()
    book.remove(book.active)
    for content in (rows, *more):
        page = book.create_sheet()
        for row in content:
            page.append(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)


def named_sheets(file: Path, sheets: dict[str, list[list[object]]]) -> None:
    """Write a workbook with named sheets: .xlsx, or the old .xls (by xlwt, which only the tests need)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".xls":
        xlwt = pytest.importorskip("xlwt", reason="xlwt, which writes the old .xls for the tests, is not installed")
        old = xlwt.Workbook()
        for title, rows in sheets.items():
            page = old.add_sheet(title)
            for i, row in enumerate(rows):
                for j, cell in enumerate(row):
                    page.write(i, j, cell)
        old.save(str(file))
        return
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        page = book.create_sheet(title)
        for row in rows:
            page.append(row)
    book.save(file)


CASME2_HEADER = [
    "Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion",
]  # fmt: skip


def casme2_folder(root: Path) -> Path:
    """Six clips: three good ones (one without apex), an 'others', a missing folder, a missing onset frame."""
    sheet(
        root / "CASME2-coding-20140508.xlsx",
        [
            CASME2_HEADER,
            [1, "EP02_01f", None, 46, 59, 86, None, "4", "disgust"],
            [1, "EP03_02", None, 10, "/", 20, None, "12", "happiness"],
            [5, "EP12_03f", None, 1, 3, 5, None, "1+2", "surprise"],
            [5, "EP13_01", None, 1, 3, 5, None, "1", "others"],
            [26, "EP01_01", None, 1, 3, 5, None, "4", "repression"],
            [26, "EP01_02", None, 1, 3, 5, None, "4", "repression"],
        ],
    )
    images(root / "Cropped" / "sub01" / "EP02_01f", [f"reg_img{n}.jpg" for n in range(40, 90)])
    images(root / "Cropped" / "sub01" / "EP03_02", [f"reg_img{n}.jpg" for n in range(10, 21)])
    images(root / "Cropped" / "sub05" / "EP12_03f", [f"reg_img{n}.jpg" for n in range(1, 6)])
    images(root / "Cropped" / "sub05" / "EP13_01", [f"reg_img{n}.jpg" for n in range(1, 6)])
    images(root / "Cropped" / "sub26" / "EP01_02", [f"reg_img{n}.jpg" for n in range(2, 6)])
    return root


def samm_folder(root: Path) -> Path:
    """Three clips after a preamble; one has no apex, one is 'Other'."""
    sheet(
        root / "SAMM_Micro_FACS_Codes_v2.xlsx",
        [
            ["SAMM micro-movements"],
            [None, "version 2"],
            ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration",
             "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"],
            [6, "006_1_2", 1, 5562, 5567, 5572, 11, "1/2", "4", "Anger", 3, None],
            ["007", "007_3_1", 3, 100, None, 110, 11, "1/2", "12", "Happiness", 1, None],
            ["007", "007_3_2", 3, 200, 205, 210, 11, "1/2", "14", "Other", 7, None],
        ],
    )  # fmt: skip
    images(root / "006" / "006_1_2", [f"006_{n:05d}.jpg" for n in range(5560, 5575)])
    images(root / "007" / "007_3_1", [f"007_{n:05d}.jpg" for n in range(100, 111)])
    images(root / "007" / "007_3_2", [f"007_{n:05d}.jpg" for n in range(200, 211)])
    return root


def smic_folder(root: Path) -> Path:
    """The short version: labels by folder."""
    for subject, emotion, name in (
        ("s1", "negative", "s1_ne_01"),
        ("s1", "surprise", "s1_sur_01"),
        ("s2", "positive", "s2_po_01"),
    ):
        images(root / subject / "micro" / emotion / name, [f"reg_image{n:06d}.bmp" for n in range(30, 42)])
    return root


def ckplus_folder(root: Path) -> Path:
    """Three sequences; one has an empty emotion folder."""
    for subject, number, emotion in (("S005", "001", 3.0), ("S010", "002", 7.0), ("S010", "004", None)):
        names = [f"{subject}_{number}_{n:08d}.png" for n in range(1, 8)]
        images(root / "cohn-kanade-images" / subject / number, names)
        folder = root / "Emotion" / subject / number
        folder.mkdir(parents=True)
        if emotion is not None:
            (folder / f"{subject}_{number}_00000007_emotion.txt").write_text(f"   {emotion:.7e}\n")
    return root


def composite_folder(root: Path) -> Path:
    """The three data sets and a key that names one clip which is not there."""
    casme2_folder(root / "CASME II")
    samm_folder(root / "samm")
    smic_folder(root / "SMIC_HS")
    (root / "megc2019_key.csv").write_text(
        "dataset,subject,clip,label\n"
        "casme2,sub01,EP02_01f,0\ncasme2,sub01,sub01_EP03_02,1\ncasme2,sub05,EP13_01,2\n"
        "smic,s01,s1_ne_01,0\nsmic,s2,s2_po_01,1\nsamm,006,006_1_2,0\nsamm,030,030_1_1,1\n"
    )
    return root
