"""What a manifest may hold, and that each mistake in one is named."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import OutputError
from trainer import manifest
from trainer.errors import DataError
from trainer.manifest import LabelledField, Roi

ROWS = [
    ("a.png", "ALL", "g1", "lab", "0.1"),
    ("b.png", "ALL", "g2", "lab", "0.1"),
    ("c.png", "normal", "g3", "lab", "0.2"),
    ("d.png", "normal", "g4", "other", "0.2"),
]


def changed(row, **values):
    names = ("path", "label", "group", "lab", "um_per_px")
    return tuple(values.get(name, value) for name, value in zip(names, row, strict=True))


def test_rows_become_fields_with_paths_beside_the_manifest(write_manifest):
    path = write_manifest(ROWS)
    fields = manifest.read([path])
    assert [(f.path, f.label, f.group, f.lab, f.um_per_px) for f in fields] == [
        (path.parent / name, label, group, lab, float(um)) for name, label, group, lab, um in ROWS
    ]
    assert manifest.classes(fields) == ("ALL", "normal")


def test_several_manifests_are_one_data_set(write_manifest):
    fields = manifest.read([write_manifest(ROWS[:2], name="1.csv"), write_manifest(ROWS[2:], name="2.csv")])
    assert [field.group for field in fields] == ["g1", "g2", "g3", "g4"]


def test_the_order_of_rows_and_of_manifests_decides_nothing(write_manifest):
    columns = (*manifest.REQUIRED, "roi")
    rows = [(*row, "") for row in ROWS[:3]] + [(*ROWS[3], roi) for roi in ("0,0,9,9", "9,0,9,9", "0,9,9,9")]
    fields = manifest.read([write_manifest(rows, columns)])
    assert [field.path.name for field in fields] == ["a.png", "b.png", "c.png", "d.png", "d.png", "d.png"]
    assert manifest.read([write_manifest(rows[::-1], columns)]) == fields
    parts = [write_manifest(part, columns, name) for part, name in ((rows[4:], "1.csv"), (rows[:4], "2.csv"))]
    assert manifest.read(parts) == manifest.read(parts[::-1]) == fields


def test_the_fingerprint_is_of_fields_in_their_order(tmp_path, write_manifest):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    fields = manifest.read([write_manifest(ROWS[:2])])
    assert manifest.fingerprint(fields) != manifest.fingerprint(fields[::-1])


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbfpath,label,group,lab,um_per_px\r\na.png,ALL,g,l,0.1\r\n")
    assert manifest.read([path])[0].path == tmp_path / "a.png"


def test_labels_are_renamed(write_manifest):
    fields = manifest.read([write_manifest(ROWS)], {"normal": "benign"})
    assert {field.label for field in fields} == {"ALL", "benign"}


def test_a_mask_beside_the_pictures_is_found(tmp_path, write_manifest):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "masks" / "1.png").write_bytes(b"")
    rows = [changed(ROWS[0], path="images/1.jpg"), changed(ROWS[1], path="images/2.jpg")]
    assert [field.mask for field in manifest.read([write_manifest(rows)])] == [tmp_path / "masks" / "1.png", None]


def test_a_mask_is_named_in_its_column(tmp_path, write_manifest):
    path = write_manifest([(*ROWS[0], "m.png"), (*ROWS[1], "")], (*manifest.REQUIRED, "mask"))
    assert [field.mask for field in manifest.read([path])] == [tmp_path / "m.png", None]


def test_masks_of_parts_and_a_region_have_columns(tmp_path, write_manifest):
    columns = (*manifest.REQUIRED, "roi", "nucleus_mask", "cytoplasm_mask", "background_mask")
    path = write_manifest([(*ROWS[0], " 0, 48,2560,1824", "n.png", "", "b.png"), (*ROWS[1], "", "", "", "")], columns)
    first, second = manifest.read([path])
    assert first.roi == (0, 48, 2560, 1824)
    assert first.masks == {"nucleus_mask": tmp_path / "n.png", "background_mask": tmp_path / "b.png"}
    assert second.roi is None
    assert second.masks == {}


names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12).filter(lambda n: "/" not in n)
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: Path("/data", *parts))
written = st.builds(
    LabelledField,
    paths,
    names,
    names,
    names,
    st.floats(0.01, 2),
    st.none() | paths,
    st.none() | st.builds(Roi, st.integers(0), st.integers(0), st.integers(1), st.integers(1)),
    *[st.none() | paths] * 3,
)


@pytest.mark.parametrize("is_relative", [True, False])
@given(field=written)
def test_what_was_written_is_read_as_the_same(is_relative, field, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "round trip"
    path = folder / "fields.csv"
    if is_relative:
        manifest.save([field], path)
    else:
        folder.mkdir(exist_ok=True)
        path.write_text(manifest.to_csv([field]), encoding="utf-8")
    (again,) = manifest.read([path])

    def plain(of):
        # Without the dots that a relative path has.
        places = {name: Path(os.path.normpath(mask)) for name, mask in of.masks.items()}
        return (Path(os.path.normpath(of.path)), of.label, of.group, of.lab, of.um_per_px, of.roi, places)

    assert plain(again) == plain(field)


def test_a_manifest_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "fields.csv"
    path.write_text("as it was")
    field = LabelledField(Path(f"{tmp_path}/\udcff.png"), "ALL", "g", "l", 0.5)
    with pytest.raises(DataError, match="not UTF-8"):
        manifest.save([field], path)
    assert path.read_text() == "as it was"
    with pytest.raises(OutputError, match="Is a directory"):
        manifest.save([LabelledField(Path("a.png"), "ALL", "g", "l", 0.5)], tmp_path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_missing_pictures_and_masks_are_counted_and_named(tmp_path):
    (tmp_path / "there.png").touch()
    fields = [LabelledField(tmp_path / "there.png", "ALL", "g", "l", 0.5, tmp_path / "mask.png")]
    fields += [LabelledField(tmp_path / f"{number}.png", "ALL", "g", "l", 0.5) for number in range(4)]
    with pytest.raises(DataError, match=r"5 of 6 files of the manifest: not found: .*mask\.png, .*0\.png, .*1\.png, …"):
        manifest.require_files(fields)
    manifest.require_files([LabelledField(tmp_path / "there.png", "ALL", "g", "l", 0.5)])


@pytest.mark.parametrize(
    "roi", ["0,0,10", "0,0,10,x", "-1,0,10,10", "0,0,0,10", "0.5,0,10,10", "0,0,10,10,10", "², 0,1,1"]
)
def test_a_region_that_is_none_is_named_with_its_place(write_manifest, roi):
    path = write_manifest([(*ROWS[0], ""), (*ROWS[1], roi)], (*manifest.REQUIRED, "roi"))
    with pytest.raises(DataError, match="line 3: roi") as refused:
        manifest.read([path])
    assert repr(roi)[1:-1] in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "columns", "told"),
    [
        (ROWS, ("path", "label", "group", "lab", "um"), "no column 'um_per_px', unknown column 'um'"),
        ([changed(ROWS[0], label=" ", lab="")], manifest.REQUIRED, "line 2: label, lab is empty"),
        ([ROWS[0], changed(ROWS[1], um_per_px="")], manifest.REQUIRED, "line 3: um_per_px is empty"),
        ([changed(ROWS[0], um_per_px="40x")], manifest.REQUIRED, "line 2: um_per_px is not a pixel size: '40x'"),
        ([changed(ROWS[0], um_per_px="40")], manifest.REQUIRED, "between 0.01 and 2 um"),
        ([changed(ROWS[0], um_per_px="nan")], manifest.REQUIRED, "between 0.01 and 2 um"),
        ([(*ROWS[0], "x")], manifest.REQUIRED, "line 2: has more values than columns"),
        ([changed(ROWS[0], path="a\0.png")], manifest.REQUIRED, "line 2: has a NUL"),
        ([(*ROWS[0], "normal")], (*manifest.REQUIRED, "label"), "column 'label' twice"),
        ([(), (), changed(ROWS[0], um_per_px="")], manifest.REQUIRED, "line 4: um_per_px is empty"),
        ([*ROWS, changed(ROWS[0], label="all", path="e.png")], manifest.REQUIRED, "differ only in case: ALL, all"),
        ([*ROWS, changed(ROWS[0], lab="other", path="e.png")], manifest.REQUIRED, "'g1' is in two laboratories"),
        ([*ROWS, changed(ROWS[0], group="g9")], manifest.REQUIRED, "two labels or groups"),
    ],
)
def test_a_mistake_is_named_with_its_place(write_manifest, rows, columns, told):
    with pytest.raises(DataError, match="manifest") as refused:
        manifest.read([write_manifest(rows, columns)])
    assert told in str(refused.value)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path):
    binary = tmp_path / "fields.xlsx"
    binary.write_bytes(b"PK\x03\x04\xff\xfe")
    for path in (tmp_path / "missing.csv", binary):
        with pytest.raises(DataError, match=path.name):
            manifest.read([path])


def test_renaming_a_label_that_no_field_has_is_a_mistake(write_manifest):
    with pytest.raises(DataError, match=r"--relabel benign.*Labels are ALL, normal"):
        manifest.read([write_manifest(ROWS)], {"benign": "normal"})


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no field"),
        (ROWS[:2], "only one class, ALL"),
        ([*ROWS[:3], changed(ROWS[3], group="g3", lab="lab")], "'normal' has only one group"),
        ([changed(row, label=row[1].replace("normal", "indeterminate")) for row in ROWS], "no class but the verdict"),
    ],
)
def test_classes_that_cannot_be_learned_are_refused(write_manifest, rows, told):
    fields = manifest.read([write_manifest(rows)])
    with pytest.raises(DataError) as refused:
        manifest.classes(fields)
    assert told in str(refused.value)


def test_the_fingerprint_changes_with_a_picture_a_mask_a_region_and_a_label(tmp_path, write_manifest):
    for name in ("a.png", "b.png", "m.png"):
        (tmp_path / name).write_bytes(name.encode())
    columns = (*manifest.REQUIRED, "mask", "roi")

    def fingerprint(relabel=None, roi=""):
        rows = [(*ROWS[0], "m.png", roi), (*ROWS[1], "", "")]
        return manifest.fingerprint(manifest.read([write_manifest(rows, columns)], relabel))

    seen = [fingerprint(), fingerprint({"ALL": "MM"}), fingerprint(roi="0,0,9,9")]
    for name in ("a.png", "m.png"):
        (tmp_path / name).write_bytes(b"changed")
        seen.append(fingerprint())
    assert len(set(seen)) == 5
    assert fingerprint() == seen[-1]


def test_the_fingerprint_changes_with_every_mask_and_is_the_old_one_without_them(tmp_path, write_manifest):
    for name in ("a.png", "b.png", "n.png", "c.png"):
        (tmp_path / name).write_bytes(name.encode())
    columns = (*manifest.REQUIRED, "nucleus_mask", "cytoplasm_mask")

    def fingerprint(nucleus="", cytoplasm=""):
        rows = [(*ROWS[0], nucleus, cytoplasm), (*ROWS[1], "", "")]
        return manifest.fingerprint(manifest.read([write_manifest(rows, columns)]))

    seen = [fingerprint(), fingerprint("n.png"), fingerprint("", "n.png"), fingerprint("n.png", "c.png")]
    (tmp_path / "c.png").write_bytes(b"changed")
    seen.append(fingerprint("n.png", "c.png"))
    assert len(set(seen)) == 5
    # A training that was stopped is found again by it.
    lines = [f"{hashlib.sha256(row[0].encode()).hexdigest()}  {' '.join(row[1:])}\n" for row in ROWS[:2]]
    assert seen[0] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_picture_is_known_again_in_another_manifest_and_behind_a_link(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "17.png").touch()
    (tmp_path / "b" / "linked.png").symlink_to(tmp_path / "17.png")
    head = "path,label,group,lab,um_per_px\n"
    (tmp_path / "a" / "m.csv").write_text(f"{head}../17.png,ALL,g1,lab,0.1\n")
    for name in ("../17.png", "linked.png"):
        (tmp_path / "b" / "m.csv").write_text(f"{head}{name},normal,g2,lab,0.1\n")
        with pytest.raises(DataError, match="two labels or groups"):
            manifest.read([tmp_path / "a" / "m.csv", tmp_path / "b" / "m.csv"])


def test_a_name_that_no_file_can_have_is_not_found(write_manifest):
    rows = [changed(ROWS[0], path=f"images/{'x' * 300}.png"), *ROWS[1:]]
    with pytest.raises(DataError, match="not found"):
        manifest.require_files(manifest.read([write_manifest(rows)]))


def test_a_picture_that_went_away_has_no_fingerprint(write_manifest):
    with pytest.raises(DataError, match=r"a\.png"):
        manifest.fingerprint(manifest.read([write_manifest(ROWS)]))
