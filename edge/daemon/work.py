"""What is open while the service is ready: camera, model, journal, and the sample under the microscope."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

from edge.camera import CameraSettings, EndOfFrames
from edge.camera.file import FileCamera
from edge.camera.guard import GuardedCamera
from edge.capture import Failed, Finished, Session
from edge.config import Config
from edge.daemon.health import Bulletin
from edge.errors import CameraNotFound, ConfigurationError, ImageError, JournalError
from edge.frame import Frame
from edge.journal import Journal
from edge.journal.retention import Policy, prune
from edge.model import Model

Say = Callable[[Literal["info", "warning", "error"], str], None]
"""Where the service's log goes."""


class Work:
    """Takes frames for the sample that is open.

    Parameters
    ----------
    settings : Config
        The configuration in force.
    journal : Journal
        Open for writing.
    model : Model
        By which frames are judged.
    camera : GuardedCamera or None
        Open; None where only images are dropped into a folder.
    bulletin : Bulletin
        Where frames and failures are counted.
    say : callable
        The service's log.
    new_sample : callable
        Names a new sample.
    """

    def __init__(
        self,
        settings: Config,
        journal: Journal,
        model: Model,
        camera: GuardedCamera | None,
        bulletin: Bulletin,
        say: Say,
        new_sample: Callable[[], str],
    ) -> None:
        self._settings, self._journal, self._model, self._camera = settings, journal, model, camera
        self._bulletin, self._say, self._new_sample = bulletin, say, new_sample
        self._session: Session | None = None

    def close(self) -> None:
        """Log the verdict so far. The sample stays the open one: when the service is ready again, it is continued."""
        if self._session is None:
            return
        self._session.__exit__(None, None, None)
        with suppress(JournalError):
            self._session.finish()

    def note(self, kind: str, detail: str) -> None:
        """Log what happens to the camera and to the service."""
        if kind in ("camera lost", "camera reopened"):
            self._say("warning", f"{kind}: {detail}")
            self._bulletin.count(kind.replace(" ", "_"))
        self._journal.event(kind, detail)

    def prove(self) -> None:
        """Take a frame that is not logged, so that the service is ready only when the camera really answers.

        Raises
        ------
        CameraError
            When it does not.
        """
        if self._camera is not None:
            self._camera.read(self.note)

    def take(self, sample: str | None = None) -> dict[str, Any]:
        """Capture, judge and log a frame.

        Parameters
        ----------
        sample : str or None
            Its sample; None is the one that is open, or a new one.

        Returns
        -------
        dict
            What was logged, for whoever asked.

        Raises
        ------
        ImageError
            When the frame is unreadable; it is logged so.
        CameraError
            When the camera failed.
        JournalError
            When it cannot be logged.
        """
        if self._camera is None:
            raise CameraNotFound("No camera", "this service has none", "Drop images into its folder, or set one")
        session = self.begin(sample)
        try:
            frame = self._camera.read(self.note)
        except ImageError as error:
            self._failed(session.add_failure(error.what, error))
            raise
        return self._add(session, frame)

    def judge(self, path: Path) -> bool:
        """Judge and log an image file.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        bool
            False when it could not be read; that is logged too.
        """
        session = self.begin(None)
        settings = CameraSettings(um_per_px=self._settings.um_per_px, timeout_s=self._settings.timeout)
        try:
            with closing(FileCamera([str(path)], settings)) as file:
                self._add(session, file.read())
        except (ImageError, EndOfFrames) as error:
            failure = error if isinstance(error, ImageError) else ImageError(path.name, "holds no frame")
            self._failed(session.add_failure(path.name, failure))
            return False
        return True

    def prune(self) -> None:
        """Throw away what the configuration no longer keeps."""
        settings = self._settings
        policy = Policy(
            picture_days=settings.keep_picture_days or None,
            frame_days=settings.keep_frame_days or None,
            picture_mb=settings.keep_picture_mb or None,
            free_mb=settings.keep_free_mb or None,
        )
        gone = prune(self._journal, policy)
        if gone.pictures or gone.frames:
            self._say("info", f"thrown away: {gone.pictures} pictures, {gone.frames} frames")

    def begin(self, sample: str | None) -> Session:
        """Open a sample, after the one before is finished.

        Parameters
        ----------
        sample : str or None
            Its identifier; None is the one that is open, or a new one.

        Returns
        -------
        Session
            The open sample; one that the journal knows is continued.
        """
        if self._session is not None and sample in (None, self._session.sample):
            return self._session
        if self._session is not None:
            self.finish()
        name = sample or self._bulletin.health.sample or self._new_sample()
        self._session = Session(self._journal, name, model=self._model, save=self._settings.save)
        self._bulletin.change(sample=name)
        return self._session

    def finish(self) -> dict[str, Any]:
        """Finish the sample that is open, and log its verdict.

        Returns
        -------
        dict
            The sample and its verdict.

        Raises
        ------
        ConfigurationError
            When none is open.
        """
        if self._session is None and self._bulletin.health.sample:
            self.begin(None)
        if self._session is None:
            raise ConfigurationError("finish", "no sample is open", "Start one, or trigger a frame")
        *failures, finished = self._session.finish()
        for failed in failures:
            assert isinstance(failed, Failed)
            self._failed(failed)
        assert isinstance(finished, Finished)
        self._session = None
        self._bulletin.change(sample="", sample_verdict="")
        decided = finished.decided
        assert decided is not None
        return {
            "sample": finished.sample,
            "frames": decided.frames,
            "verdict": decided.verdict,
            "reason": decided.reason,
            "probabilities": decided.probabilities,
        }

    def _add(self, session: Session, frame: Frame) -> dict[str, Any]:
        logged = session.add(frame)
        self._log_pictures(session)
        result = logged.result
        self._bulletin.frame(result)
        so_far = session.so_far()
        assert so_far is not None
        self._bulletin.change(sample_verdict=_said(so_far.verdict, so_far.reason))
        return {
            "frame": result.frame,
            "sample": session.sample,
            "record": logged.record,
            "verdict": result.verdict,
            "reason": result.reason,
            "probabilities": result.probabilities,
            "so_far": so_far.verdict,
        }

    def _log_pictures(self, session: Session) -> None:
        for failed in session.finished_pictures():
            self._failed(failed)

    def _failed(self, failed: Failed) -> None:
        self._say("warning", str(failed.error))
        self._bulletin.count("failed")
        self._bulletin.change(last_error=str(failed.error))


def _said(verdict: str, reason: str | None) -> str:
    return f"{verdict} ({reason})" if reason else verdict
