"""A session loses nothing: whatever ends it, all that was shown is logged, and the sample's verdict with it."""

import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from itertools import islice
from threading import Event

import numpy as np
import pytest

from edge.camera import CameraSettings
from edge.camera.decode import read_image
from edge.camera.doubles import ScriptedCamera
from edge.camera.guard import BackOff, GuardedCamera
from edge.capture import Failed, Finished, Logged, Session, caption, run, ticks
from edge.errors import (
    CameraLost,
    ImageError,
    JournalDiskFailed,
    JournalError,
    JournalLocked,
    OutputError,
    ScaleError,
    WbcError,
)
from edge.frame import Frame
from edge.journal import Journal
from edge.journal.retention import Policy, prune
from edge.model import open_model, shelf
from edge.pipeline import classify, measure
from edge.result import INDETERMINATE
from edge.simulator import Smear, draw
from edge.verdict import Evidence, Tally, decide, pool

BLANK = np.full((240, 320, 3), 235, np.uint8)


@pytest.fixture(scope="module")
def model():
    return open_model(shelf.find(None))


@pytest.fixture(scope="module")
def cells():
    """Draw a field with cells enough for a model to say something."""
    return draw(Smear(kind="MM", size_px=(640, 480)), 1).pixels


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        yield journal


@pytest.fixture
def scripted():
    """Give a guarded camera that plays a script."""
    cameras = []

    def guard(*steps, finite=True, um_per_px=0.1):
        script = iter(steps)
        camera = GuardedCamera(
            "scripted",
            CameraSettings(um_per_px=um_per_px, timeout_s=5),
            BackOff(attempts=1, first_delay_s=0),
            opener=lambda _, settings: ScriptedCamera(script, settings, finite),
        )
        cameras.append(camera)
        return camera

    yield guard
    for camera in cameras:
        camera.close()


def watched(frames, shown=None):
    """Collect what is shown, and what ended it."""
    shown = [] if shown is None else shown
    try:
        for each in frames:
            shown.append(each)
    except (WbcError, KeyboardInterrupt) as ending:
        return shown, ending
    return shown, None


def events(journal):
    return [event.kind for event in journal.events()]


def test_each_frame_is_logged_before_it_is_shown(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as session:
        for shown in run(scripted(cells, BLANK), session):
            if isinstance(shown, Logged):
                assert journal.frame(shown.record).result == shown.result
                assert shown.log_ms > 0
            else:
                assert shown == Finished("S-1", 2, journal.samples()[0].result)


def test_the_samples_verdict_is_that_of_all_its_cells(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as session:
        *frames, finished = run(scripted(cells, cells), session)
    evidence = sum(
        (pool((tile.probabilities for tile in frame.result.tiles), 3) for frame in frames), Evidence((0.0,) * 3, 0)
    )
    description = model.bundle.description
    expected = decide(evidence, description.decision, description.classes)
    assert evidence.tiles > 0
    assert finished.decided.verdict == expected.label
    assert tuple(finished.decided.probabilities.values()) == pytest.approx(expected.probabilities)


def test_without_a_model_frames_are_measured_and_no_verdict_is_given(journal, scripted, cells):
    with Session(journal, "S-1") as session:
        frame, finished = run(scripted(cells), session)
    assert frame.result.verdict is None
    assert frame.result.quality.usable
    assert finished == Finished("S-1", 1, None)
    assert journal.samples()[0].result is None


def test_unusable_frames_are_counted_and_are_no_evidence(model, cells):
    judged = classify(Frame(cells, "cells", 0, 0.1, 0.0, 0.0), model)
    blank = classify(Frame(BLANK, "blank", 1, 0.1, 0.0, 0.0), model)
    nothing = Tally(pool((), 3))
    assert nothing.plus(judged).evidence.tiles == len(judged.tiles) > 0
    assert nothing.plus(blank) == Tally(nothing.evidence, 1, 1)
    description = model.bundle.description
    decided = nothing.plus(blank).decide("S-1", description.decision, description.classes)
    assert (decided.verdict, decided.probabilities, decided.indeterminate) == (INDETERMINATE, {}, 1)


def test_a_sample_is_continued_where_its_journal_ends(journal, scripted, model, cells):
    for part in ([cells, BLANK], [cells]):
        with Session(journal, "S-1", model=model) as session:
            *_, last = run(scripted(*part), session)
    with Session(journal, "S-2", model=model) as session:
        *_, at_once = run(scripted(cells, BLANK, cells), session)
    assert last.frames == 1
    assert (last.decided.frames, last.decided.indeterminate) == (3, at_once.decided.indeterminate)
    assert last.decided.verdict == at_once.decided.verdict
    assert last.decided.probabilities == pytest.approx(at_once.decided.probabilities)


def test_the_verdict_counts_what_another_process_logged_for_the_sample_meanwhile(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as one, Session(journal, "S-1", model=model) as other:
        *_, of_other = run(scripted(cells, BLANK), other)
        *_, finished = run(scripted(cells), one)
    assert (of_other.decided.frames, finished.decided.frames) == (2, 3)
    assert journal.samples()[0].result == finished.decided
    assert Session(journal, "S-1", model=model).so_far() == finished.decided


def test_no_frame_is_logged_between_what_the_verdict_counts_and_the_verdict(
    journal, scripted, model, cells, monkeypatch
):
    late, counted = classify(Frame(cells, "late", 1, 0.1, 0.0, 0.0), model), Journal.tally

    def counted_and_then_logged(asked, *of_what):
        seen = counted(asked, *of_what)
        with suppress(JournalLocked):
            other.record(1, late)
        return seen

    with (
        Journal.open(journal.path, timeout_s=0.0) as other,
        Session(journal, "S-1", model=model) as session,
        closing(run(scripted(cells), session)) as results,
    ):
        next(results)
        monkeypatch.setattr(Journal, "tally", counted_and_then_logged)
        (finished,) = results
    (sample,) = journal.samples()
    assert (sample.frames, sample.result.frames, finished.decided) == (1, 1, sample.result)


def test_a_sample_that_was_open_for_months_is_taken_up_without_a_look_at_its_frames(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as session:
        *_, finished = run(scripted(cells, BLANK, cells), session)
    asked = []
    with journal.maintenance() as connection:
        connection.set_trace_callback(asked.append)
        with Session(journal, "S-1", model=model) as session:
            assert session.so_far() == finished.decided
        connection.set_trace_callback(None)
    assert not [statement for statement in asked if "frames" in statement or "tiles" in statement], asked


def test_frames_that_were_thrown_away_still_count_for_their_sample(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as session:
        *_, before = run(scripted(cells, cells), session)
    assert prune(journal, Policy(frame_days=1), now_s=time.time() + 10 * 86_400).frames == 2
    assert Session(journal, "S-1", model=model).so_far() == before.decided
    assert journal.audit().problems == ()


def test_of_a_sample_without_a_frame_no_verdict_is_logged(journal, scripted, model):
    with Session(journal, "S-1", model=model) as session:
        _, finished = run(scripted(ImageError("torn.png")), session)
    assert (finished.decided.verdict, finished.decided.frames) == (INDETERMINATE, 0)
    assert journal.samples()[0].result is None
    assert "verdict" not in events(journal)


def test_frames_that_no_model_or_another_one_judged_do_not_count(journal, scripted, model, cells):
    with Session(journal, "S-1") as session:
        list(run(scripted(cells), session))
    with Session(journal, "S-1", model=model) as session:
        *_, finished = run(scripted(BLANK), session)
    assert finished.decided.frames == 1


def test_an_unreadable_frame_is_reported_and_logged_and_the_others_go_on(journal, scripted, model, cells):
    script = scripted(cells, ImageError("torn.png", "the file is truncated"), cells)
    with Session(journal, "S-1", model=model) as session:
        shown = list(run(script, session))
    assert [type(each) for each in shown] == [Logged, Failed, Logged, Finished]
    assert shown[1].frame == "torn.png"
    (failure,) = [event for event in journal.events() if event.kind == "failure"]
    assert (failure.frame, failure.sample) == ("torn.png", "S-1")


def test_a_camera_that_comes_back_is_noted(journal, scripted, cells):
    camera = scripted(cells, CameraLost("scripted", "pulled out"), cells[::-1], finite=False)
    told = []
    with Session(journal, "S-1") as session:
        shown = list(run(camera, session, count=2, told=lambda kind, _: told.append((kind, events(journal)[-1]))))
    assert [each.result.sequence for each in shown[:2]] == [0, 1]
    assert events(journal) == ["started", "camera lost", "camera reopened", "camera"]
    assert told == [("camera lost", "camera lost"), ("camera reopened", "camera reopened")]
    assert "lost 1 times (0 by hanging), reopened 1 times" in list(journal.events())[-1].detail


def test_a_camera_that_does_not_come_back_leaves_the_verdict_so_far(journal, scripted, model, cells):
    lost = CameraLost("scripted", "pulled out")
    with Session(journal, "S-1", model=model) as session:
        shown, ending = watched(run(scripted(cells, lost, lost, finite=False), session))
    assert isinstance(ending, CameraLost)
    assert [type(each) for each in shown] == [Logged, Finished]
    assert journal.samples()[0].result == shown[-1].decided
    assert events(journal)[-4:] == ["camera reopened", "stopped", "camera", "verdict"]


def test_an_interruption_leaves_the_verdict_so_far(journal, scripted, model, cells):
    shown, unplugged = [], Event()

    @contextmanager
    def interrupted_after_two_frames():
        if len(shown) == 2:
            raise KeyboardInterrupt
        yield

    with Session(journal, "S-1", model=model) as session:
        frames = run(scripted(cells, cells, unplugged), session, waiting=interrupted_after_two_frames)
        _, ending = watched(frames, shown)
    unplugged.set()
    assert isinstance(ending, KeyboardInterrupt)
    assert [type(each) for each in shown] == [Logged, Logged, Finished]
    assert journal.samples()[0].result == shown[-1].decided


def test_who_stops_listening_leaves_the_verdict_so_far(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as session:
        frames = run(scripted(cells, cells), session)
        next(frames)
        frames.close()
    # The other one was captured meanwhile, or was not.
    assert journal.samples()[0].result.frames == len(list(journal.frames())) in (1, 2)


def test_a_failing_journal_stops_the_session_and_keeps_what_was_shown(tmp_path, scripted, model, cells):
    path = tmp_path / "journal.sqlite3"
    journal = Journal.open(path)
    with Session(journal, "S-1", model=model) as session:
        frames = run(scripted(cells, cells), session)
        first = next(frames)
        journal._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalError):
            next(frames)
    journal.close()
    with Journal.open_read_only(path) as reopened:
        assert [record.record for record in reopened.frames()] == [first.record]


def test_a_wrong_pixel_size_ends_it_before_anything_is_said_of_the_sample(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model) as session:
        frames = run(scripted(cells, um_per_px=1.9), session)
        with pytest.raises(ScaleError, match="too coarse"):
            next(frames)
    assert list(journal.frames()) == []


def test_count_bounds_the_frames(journal, scripted):
    with Session(journal, "S-1") as session:
        shown = list(run(scripted(*[BLANK] * 5), session, count=2))
    assert [type(each) for each in shown] == [Logged, Logged, Finished]


def test_the_interval_is_kept_without_drift():
    now = 100.0
    due = ticks(10.0, lambda: now)
    kept = []
    for taken_s in (1, 3, 25, 9, 1):
        kept.append(next(due))
        now = max(now, kept[-1]) + taken_s
    assert kept == [100, 110, 120, 150, 160]


def test_an_interval_next_to_nothing_is_none():
    moments = iter([0.0, 1.0, 2.0])
    assert list(islice(ticks(1e-320, lambda: next(moments)), 3)) == [0, pytest.approx(0), pytest.approx(0)]


def test_without_an_interval_frames_follow_at_once():
    assert list(islice(ticks(0.0, lambda: 100.0), 3)) == [100, 100, 100]


def test_frames_wait_for_their_time(journal, scripted):
    waits = 0

    @contextmanager
    def counted():
        nonlocal waits
        waits += 1
        begun_s = time.monotonic()
        yield
        if waits > 1:
            assert time.monotonic() - begun_s > 0.01

    with Session(journal, "S-1") as session:
        *_, last = run(scripted(BLANK, BLANK), session, count=2, interval_s=0.2, waiting=counted)
    assert (waits, last.frames) == (2, 2)


@pytest.mark.parametrize(
    ("save", "kind", "signature"), [("frames", "frame", b"\x89PNG"), ("overlays", "overlay", b"\xff\xd8\xff")]
)
def test_pictures_are_kept_beside_the_journal_and_logged(save, kind, signature, journal, scripted, model, cells):
    with Session(journal, "Probe 7/ä", model=model, save=save) as session:
        list(run(scripted(cells, cells), session))
    for record in journal.frames():
        (picture,) = record.pictures.values()
        assert list(record.pictures) == [kind]
        assert picture.is_relative_to(journal.path.parent / "pictures")
        assert picture.read_bytes().startswith(signature)


def test_a_frame_that_is_kept_can_be_judged_again(journal, scripted, model, cells):
    with Session(journal, "S-1", model=model, save="frames") as session:
        list(run(scripted(cells), session))
    (record,) = journal.frames()
    again = classify(Frame(read_image(record.pictures["frame"]), "again", 1, 0.1, 0.0, 0.0), model)
    assert again.tiles
    assert again.tiles == record.result.tiles
    assert again.probabilities == record.result.probabilities


def test_a_picture_that_cannot_be_kept_is_reported_and_the_frames_go_on(journal, scripted, model, cells):
    folder = journal.path.parent / "pictures"
    folder.mkdir()
    (folder / "S-1").write_text("in the way")
    with Session(journal, "S-1", model=model, save="frames") as session:
        shown = list(run(scripted(cells, cells), session))
    kinds = [type(each) for each in shown]
    assert (kinds.count(Logged), kinds.count(Failed), kinds[-1]) == (2, 2, Finished)
    assert all(isinstance(each.error, OutputError) for each in shown if isinstance(each, Failed))
    assert events(journal).count("failure") == 2


@pytest.fixture
def with_pictures(tmp_path, model, cells):
    """Give a session of two frames whose pictures are written, and not told of to the journal yet; and its journal."""
    with Journal.open(tmp_path / "journal.sqlite3", timeout_s=0.0) as journal:
        session = Session(journal, "S-1", save="frames")
        for number in range(2):
            session.add(measure(Frame(cells, f"field {number}", number, 0.1, 0.0, 0.0)), cells)
        while len(pictures(journal)) < 2:
            time.sleep(0.01)
        yield journal, session
        session.__exit__(None, None, None)


def pictures(journal):
    return sorted(journal.path.parent.glob("pictures/S-1/*.png"))


def test_a_picture_of_which_the_journal_cannot_be_told_is_not_left_there_for_good(with_pictures):
    journal, session = with_pictures
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLocked):
            list(session.finished_pictures())
    assert [picture.name for picture in pictures(journal)] == ["000002-frame.png"]
    session.finish()
    assert [list(record.pictures.values()) for record in journal.frames()] == [[], pictures(journal)]


def test_a_session_that_ends_without_telling_the_journal_of_its_pictures_leaves_none(with_pictures):
    journal, session = with_pictures
    session.__exit__(None, None, None)
    assert pictures(journal) == []


def test_a_picture_that_a_failing_disk_may_have_been_told_of_is_left(with_pictures, failing_disk):
    journal, session = with_pictures
    with failing_disk(journal, 99), pytest.raises(JournalDiskFailed):
        list(session.finished_pictures())
    session.__exit__(None, None, None)
    assert [picture.name for picture in pictures(journal)] == ["000001-frame.png"]


def test_a_folder_for_pictures_that_cannot_be_made_is_told_at_once(journal):
    (journal.path.parent / "pictures").write_text("in the way")
    with pytest.raises(OutputError):
        Session(journal, "S-1", save="frames")
    assert journal.samples() == []


def test_a_caption_says_what_it_is_not(model, cells):
    field = Frame(cells, "cells", 0, 0.1, 0.0, 0.0)
    judged = classify(field, model)
    for result in (judged, measure(field), classify(Frame(BLANK, "blank", 0, 0.1, 0.0, 0.0), model)):
        assert caption(result).endswith("research use only")
        assert caption(result).isascii()
    assert "blank field" in caption(classify(Frame(BLANK, "blank", 0, 0.1, 0.0, 0.0), model))
