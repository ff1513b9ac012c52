"""`wbc-edge classify` judges what can be read, reports what cannot, and ends with the code of the first failure."""

import os

import cv2
import numpy as np
import pytest

from edge.journal import Journal

SCALE = ("--um-per-px", 0.1)


def test_a_folder_is_judged_around_its_broken_file(wbc, fields, journal):
    ran = wbc("classify", fields, *SCALE, "--json")
    first, broken, third, sample = ran.lines
    assert ran.code == 20
    assert [first["frame"], third["frame"]] == [str(fields / f"Feld {number} 視野.png") for number in (1, 3)]
    assert broken["frame"] == str(fields / "Feld 2.png")
    assert broken["exit_code"] == 20
    assert "truncated" in broken["error"]
    assert ran.err == f"wbc-edge: {broken['error']}\n"
    assert sample["frames"] == 2
    with Journal.open_read_only(journal) as log:
        assert [event.frame for event in log.events() if event.kind == "failure"] == [broken["frame"]]


def test_a_person_sees_the_error_apart_from_the_table(wbc, fields):
    ran = wbc("classify", fields, *SCALE)
    assert "Feld 2.png" not in ran.out
    assert "truncated" in ran.err
    assert "2 frames" in ran.out


def test_a_path_that_names_nothing_does_not_stop_the_others(wbc, field, tmp_path):
    (tmp_path / "leer").mkdir()
    ran = wbc("classify", tmp_path / "leer", field, tmp_path / "nowhere.png", *SCALE, "--json")
    assert ran.code == 21
    assert [line.get("exit_code") for line in ran.lines] == [21, 21, None, None]
    assert ran.lines[2]["frame"] == str(field)


@pytest.mark.parametrize("named", [True, False], ids=["named", "in a folder"])
def test_a_link_that_leads_nowhere_does_not_stop_the_others(wbc, field, tmp_path, named):
    (tmp_path / "fields").mkdir()
    (tmp_path / "fields" / "field.png").symlink_to(field)
    dead = tmp_path / "fields" / "dead [1].png"
    dead.symlink_to(tmp_path / "nowhere.png")
    ran = wbc("classify", *([dead, field] if named else [tmp_path / "fields"]), *SCALE, "--json")
    failed, judged, sample = ran.lines
    assert (ran.code, failed["frame"], failed["exit_code"]) == (20, str(dead), 20)
    assert ("record" in judged, sample["frames"]) == (True, 1)


@pytest.mark.parametrize("name", ["", "nowhere.png", "*.bmp"])
def test_nothing_to_read_is_told_without_an_empty_sample(wbc, tmp_path, name):
    ran = wbc("classify", tmp_path / name, *SCALE, "--json")
    assert (ran.code, ran.out) == (21, "")
    assert len(ran.err.splitlines()) == 1


def test_a_file_that_is_no_image_leaves_an_indeterminate_sample(wbc, tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    ran = wbc("classify", tmp_path / "notes.png", *SCALE, "--json")
    assert ran.code == 20
    assert (ran.lines[-1]["verdict"], ran.lines[-1]["frames"]) == ("indeterminate", 0)


def test_a_picture_too_large_to_be_magnified_is_told_and_the_others_go_on(wbc, field, tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.full((4000, 4500), 230, np.uint8))
    ran = wbc("classify", tmp_path / "large.png", field, "--um-per-px", 1.0, "--json")
    large, judged, _ = ran.lines
    assert (ran.code, large["frame"], large["exit_code"]) == (20, str(tmp_path / "large.png"), 20)
    assert "72 megapixels" in large["error"]
    assert "record" in judged


def test_a_very_flat_picture_is_judged_like_any_other(wbc, field, tmp_path):
    # As high as a cell, and so long that red cells are looked for in less than one row of it.
    strip = cv2.resize(cv2.imdecode(_bytes(field), cv2.IMREAD_COLOR), None, fx=0.25, fy=0.25)[50:90]
    cv2.imwrite(str(tmp_path / "flat.png"), np.tile(strip, (1, 764, 1)))
    ran = wbc("classify", tmp_path / "flat.png", field, "--um-per-px", 0.4, "--json")
    assert (ran.code, ran.lines[-1]["frames"]) == (0, 2)
    assert ran.lines[0]["quality"]["usable"]  # or red cells are not looked for


def test_a_pattern_and_several_paths_are_one_sample(wbc, fields, field, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(field.read_bytes())
    ran = wbc("classify", f"{fields}/Feld [13]*.png", other, *SCALE, "--json", "--sample", "S-1")
    assert ran.code == 0
    assert ran.lines[-1]["frames"] == 3


def test_a_file_counts_once_however_often_and_by_whatever_name_it_is_named(wbc, field, tmp_path, monkeypatch):
    (tmp_path / "fields").mkdir()
    copy = tmp_path / "fields" / "field.png"
    copy.write_bytes(field.read_bytes())
    (tmp_path / "link.png").symlink_to(copy)
    monkeypatch.chdir(tmp_path)
    ran = wbc("classify", "fields/field.png", copy, "./fields", "link.png", *SCALE, "--json")
    assert [line["frame"] for line in ran.lines[:-1]] == ["fields/field.png"]
    assert ran.lines[-1]["frames"] == 1


def test_the_journal_knows_where_a_file_lay_and_people_see_what_they_typed(wbc, fields, field, journal, monkeypatch):
    monkeypatch.chdir(fields.parent)
    monkeypatch.setenv("COLUMNS", "120")
    named = os.path.relpath(fields)
    (journal.parent / "pictures").mkdir(parents=True)
    (journal.parent / "pictures" / "S-1").write_text("in the way")
    ran = wbc("classify", named, *SCALE, "--json", "--sample", "S-1", "--save", "frames")
    shown = {line["frame"] for line in ran.lines[:-1]}
    assert shown == {f"{named}/{name}" for name in ("Feld 1 視野.png", "Feld 2.png", "Feld 3 視野.png")}
    with Journal.open_read_only(journal) as log:
        assert {record.result.frame for record in log.frames()} == {str(fields / f"Feld {n} 視野.png") for n in (1, 3)}
        assert str(fields / "Feld 2.png") in {event.frame for event in log.events() if event.kind == "failure"}
    assert named in wbc("classify", named, *SCALE).out
    wbc("capture", "--camera", f"file:{named}/*3*", *SCALE, "--sample", "S-2")
    with Journal.open_read_only(journal) as log:
        assert [record.result.frame for record in log.frames(sample="S-2")] == [str(fields / "Feld 3 視野.png")]


def test_files_need_their_pixel_size(wbc, field):
    ran = wbc("classify", field)
    assert ran.code == 3
    assert "--um-per-px" in ran.err


@pytest.mark.parametrize("um_per_px", ["1e-9", "500", "-0.1", "inf"])
def test_a_pixel_size_of_no_microscope_is_refused(wbc, field, um_per_px):
    ran = wbc("classify", field, "--um-per-px", um_per_px)
    assert (ran.code, ran.out) == (3, "")


def test_a_pixel_size_too_coarse_for_the_model_is_refused(wbc, fields):
    ran = wbc("classify", fields, "--um-per-px", 1.9, "--json")
    assert (ran.code, ran.out) == (3, "")
    assert "too coarse" in ran.err


def test_a_video_that_ends_in_mid_frame_gives_its_whole_frames(wbc, tmp_path, field):
    path = tmp_path / "Aufnahme 視野.avi"
    picture = cv2.resize(cv2.imdecode(_bytes(field), cv2.IMREAD_COLOR), (320, 240))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for _ in range(4):
        writer.write(picture)
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    ran = wbc("classify", path, *SCALE, "--json")
    *whole, torn, sample = ran.lines
    assert ran.code == 20
    assert 0 < len(whole) < 4
    assert torn["exit_code"] == 20
    assert sample["frames"] == len(whole)


def test_one_pixel_and_deep_gray_pictures(wbc, tmp_path, field):
    gray = cv2.imdecode(_bytes(field), cv2.IMREAD_GRAYSCALE)
    for name, picture in {"pixel": gray[:1, :1], "deep": gray.astype("uint16") * 257}.items():
        (tmp_path / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    ran = wbc("classify", tmp_path / "pixel.png", tmp_path / "deep.png", *SCALE, "--json")
    pixel, deep, _ = ran.lines
    assert (ran.code, pixel["exit_code"]) == (20, 20)
    assert deep["record"] == 1


def test_a_name_that_drives_the_terminal_is_defused(wbc, field, tmp_path):
    path = tmp_path / "\x1b[2Jfield.png"
    path.write_bytes(field.read_bytes())
    ran = wbc("classify", path, tmp_path / "\x1b[2Jgone.png", *SCALE)
    assert "\x1b" not in ran.out + ran.err
    assert "field.png" in ran.out


def _bytes(path):
    return np.frombuffer(path.read_bytes(), np.uint8)


def test_a_wrong_pixel_size_is_warned_of_at_the_end_as_well(wbc, tmp_path):
    from edge.simulator import Smear, draw
    from edge.vision.illumination import SCALE_DRIFTED

    smear = Smear(kind="normal", size_px=(1280, 960), um_per_px=0.2)
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), draw(smear, number).pixels)
    right, wrong = (wbc("classify", tmp_path, "--um-per-px", um_per_px) for um_per_px in (0.2, 0.1))
    assert SCALE_DRIFTED not in right.out
    assert f"Warning, 1 of 2 frames: {SCALE_DRIFTED}" in wrong.out.splitlines()
    assert wrong.code == 0
