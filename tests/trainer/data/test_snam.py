"""The layout of SN-AM is read as it is published, and as people keep it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import NoImages, ScaleError
from trainer.data import snam
from trainer.errors import DataError


@pytest.fixture
def place(tmp_path):
    """Give a function that makes small pictures below a folder, by their paths, and returns the folder."""

    def make(*names):
        for number, name in enumerate(names):
            path = tmp_path / "SN-AM" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((48, 64, 3), number, np.uint8))
        return tmp_path / "SN-AM"

    return make


def test_a_field_takes_its_class_group_and_masks_from_its_name(place):
    kinds = ("nucleus", "background", "cytoplasm")
    folder = place("25_ALL_5.bmp", "15_MM.bmp", *(f"25_ALL_5_{kind}_mask.bmp" for kind in kinds))
    (mm, leukaemia), left_out = snam.read(folder, 0.05)
    assert (mm.path.name, mm.label, mm.group, mm.lab, mm.um_per_px, mm.masks) == (
        "15_MM.bmp",
        "MM",
        "snam-MM-15",
        "snam",
        0.05,
        {},
    )
    assert (leukaemia.label, leukaemia.group) == ("ALL", "snam-ALL-25")
    assert leukaemia.masks == {
        "mask": folder / "25_ALL_5_nucleus_mask.bmp",
        **{f"{kind}_mask": folder / f"25_ALL_5_{kind}_mask.bmp" for kind in kinds},
    }
    assert left_out == []


@pytest.mark.parametrize(
    ("name", "label", "group"),
    [
        ("PKG - SN-AM/ALL/25_ALL_5.bmp", "ALL", "snam-ALL-25"),
        ("MM/5_also_ref_image_MM.bmp", "MM", "snam-MM-5"),
        ("ref_ALL.bmp", "ALL", "snam-ALL-ref"),
        ("ALL/ALL_ALL_extra_images.bmp", "ALL", "snam-ALL-extra-images"),
        ("MM/7.bmp", "MM", "snam-MM-7"),
        ("mm/MM_07.BMP", "MM", "snam-MM-7"),
        ("ALL/15_MM.bmp", "MM", "snam-MM-15"),
        ("converted/15_MM.png", "MM", "snam-MM-15"),
    ],
)
def test_names_that_were_seen_in_the_wild(place, name, label, group):
    (field,), _ = snam.read(place(name))
    assert (field.label, field.group) == (label, group)


def test_one_number_in_two_classes_is_two_groups(place):
    fields, _ = snam.read(place("25_ALL_1.bmp", "25_ALL_2.bmp", "25_MM.bmp"))
    assert len({field.group for field in fields}) == 2


def test_masks_are_found_in_other_folders_and_by_their_other_name(place):
    folder = place("ALL/1_ALL.bmp", "ALL/masks/1_ALL_cyto_mask.bmp", "nuclei/1_all_Nucleus_Mask.bmp")
    (field,), left_out = snam.read(folder)
    assert field.cytoplasm_mask == folder / "ALL/masks/1_ALL_cyto_mask.bmp"
    assert field.nucleus_mask == field.mask == folder / "nuclei/1_all_Nucleus_Mask.bmp"
    assert left_out == []


def test_fields_of_two_classes_with_one_name_keep_their_own_masks(place):
    folder = place("ALL/1.bmp", "ALL/1_nucleus_mask.bmp", "MM/1.bmp", "MM/1_nucleus_mask.bmp")
    fields, _ = snam.read(folder)
    assert {field.label: field.mask for field in fields} == {
        "ALL": folder / "ALL/1_nucleus_mask.bmp",
        "MM": folder / "MM/1_nucleus_mask.bmp",
    }


def test_what_is_neither_a_field_nor_its_mask_is_told(place):
    folder = place("1_ALL.bmp", "24_H&E.bmp", "9_MM_nucleus_mask.bmp")
    fields, left_out = snam.read(folder)
    assert [field.path.name for field in fields] == ["1_ALL.bmp"]
    assert [path.name for path in left_out] == ["24_H&E.bmp", "9_MM_nucleus_mask.bmp"]


def test_two_masks_of_one_kind_are_refused(place):
    folder = place("1_ALL.bmp", "1_ALL_nucleus_mask.bmp", "copy/1_ALL_nucleus_mask.bmp")
    with pytest.raises(DataError, match="both are the nucleus_mask of 1_ALL"):
        snam.read(folder)


def test_a_folder_of_something_else_is_refused(place, tmp_path):
    with pytest.raises(DataError, match=r"such as 25_ALL_5\.bmp"):
        snam.read(place("holiday.bmp"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoImages):
        snam.read(tmp_path / "empty")


def test_a_pixel_size_of_no_microscope_is_refused(place):
    with pytest.raises(ScaleError):
        snam.read(place("1_ALL.bmp"), 50.0)
