"""The sample under the microscope of the service: what comes off the line is logged for it, and told who asked."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from edge.capture import Failed, Finished, Session
from edge.daemon import opened
from edge.daemon.health import Bulletin
from edge.daemon.orders import Errand, Order
from edge.daemon.outage import Outage
from edge.daemon.parts import Parts
from edge.daemon.words import Say, said
from edge.errors import ConfigurationError, ImageError, JournalError, OutputError, WbcError
from edge.journal import Journal
from edge.journal.upkeep import last_detail
from edge.line import Broken, Judged, Outcome, Passed, Told
from edge.model import Model
from edge.settings import Config
from edge.vision import illumination

_TELL_DROPPED_EVERY_S = 60.0


class Work:
    """Logs frames for the sample that is open.

    Parameters
    ----------
    settings : Config
        The configuration in force.
    journal : Journal
        Open for writing.
    model : Model
        By which frames are judged.
    parts : Parts
        Of it, the models, of which there may be something to be told, and what names a new sample.
    bulletin : Bulletin
        Where frames and failures are counted.
    outage : Outage
        What happened to the camera before.
    say : callable
        The service's log.
    """

    def __init__(
        self,
        settings: Config,
        journal: Journal,
        model: Model,
        parts: Parts,
        bulletin: Bulletin,
        outage: Outage,
        say: Say,
    ) -> None:
        self._settings, self._journal, self._model = settings, journal, model
        self._models, self._new_sample = parts.models, parts.sample
        self._bulletin, self._outage, self._say = bulletin, outage, say
        self._session: Session | None = None
        self._dropped = self._dropped_told = 0
        self._drifted: set[str] = set()
        bulletin.change(drift="")
        self._tell_dropped_s = time.monotonic()
        self._accelerator = self._no_pictures = ""
        self._take_up()
        self._tell_model()

    def _take_up(self) -> None:
        """Take up the sample that this journal has open, whatever ended the service meanwhile."""
        left = opened.found(self._journal)
        if left.name and left.name != self._bulletin.health.sample:
            self._say("info", f"still open: {left}")
            self._journal.event("sample taken up", str(left))
        self._bulletin.change(sample=left.name, every_frame=left.every_frame)

    def close(self) -> None:
        """Log the verdict so far. The sample stays the open one: when the service is ready again, it is continued."""
        self._model.runtime.close()
        if self._session is None:
            return
        with self._session, suppress(JournalError):
            self._session.finish()
        self._session = None

    def follow(self, model: Model) -> dict[str, Any]:
        """Go on with another model: the sample stays the open one, and its verdict counts from here.

        Parameters
        ----------
        model : Model
            By which the frames are judged that come now.

        Returns
        -------
        dict
            What it is, and what it runs on.
        """
        if model is not self._model:
            self.close()
            self._model, self._accelerator = model, ""
        self._tell_model()
        return {"model": model.bundle.identity, "accelerator": str(model.runtime.choice), "why": self._models.why}

    def _tell_model(self) -> None:
        """Log what happened to the models, and what the one in use runs on, unless that was logged last."""
        for event in self._models.events():
            self._say("error", event)
            self._journal.event("model", event)
            self._bulletin.failed(event)
        choice = str(self._model.runtime.choice)
        if choice == self._accelerator:
            return
        self._accelerator = choice
        identity = self._model.bundle.identity
        self._bulletin.change(model=identity, model_reason=self._models.why, accelerator=choice)
        detail = f"{identity} on {choice}"
        if last_detail(self._journal, "accelerator") != detail:
            self._say("info", f"model {identity} runs on {choice}")
            self._journal.event("accelerator", detail)

    def note(self, kind: str, detail: str) -> None:
        """Log what happens to the camera, to images and to the service."""
        if kind in ("camera lost", "camera reopened"):
            self._bulletin.count(kind.replace(" ", "_"))
            if not self._outage.is_news(kind):
                self.count_losses()
                return
        if kind in ("camera lost", "camera reopened", "drift", "image"):
            self._say("warning", f"{kind}: {detail}")
        self._journal.event(kind, detail)

    def count_losses(self, is_last: bool = False) -> None:
        """Log how often the camera was lost and reopened since that was told.

        Parameters
        ----------
        is_last : bool
            Whether the service ends.
        """
        if losses := self._outage.by_number(is_last):
            self._say("warning", losses)
            self._journal.event("camera", losses)

    def differ(self, when: str, what: str) -> None:
        """Log in what the camera is no longer as it was calibrated, once.

        Parameters
        ----------
        when : str
            At which frame that shows.
        what : str
            In what.
        """
        if what not in self._drifted:
            self._drifted.add(what)
            self.note("drift", f"{when}: {what}")
            self._bulletin.change(drift="; ".join(sorted(self._drifted)))

    def take(self, outcome: Outcome, keeps_picture: bool) -> None:
        """Log what came off the line, and tell whoever asked for it.

        Parameters
        ----------
        outcome : Judged, Broken, Passed or Told
            What came.
        keeps_picture : bool
            Whether there is room for a picture, if pictures are kept at all.

        Raises
        ------
        JournalError
            When it cannot be logged.
        WbcError
            What a frame came to nothing by, unless it was unreadable: that is logged, and the next one comes.
        """
        if isinstance(outcome, Told):
            self.note(outcome.kind, outcome.detail)
            return
        errand: Errand | None = outcome.shot.errand
        try:
            reply = self._logged(outcome, errand, keeps_picture)
        except (ConfigurationError, ImageError) as error:
            if errand is not None:
                errand.failed(error)
        except WbcError as error:
            if errand is not None:
                errand.failed(error)
            raise
        else:
            if errand is not None:
                errand.done(reply)

    def _logged(self, outcome: Judged | Broken | Passed, errand: Errand | None, keeps_picture: bool) -> dict[str, Any]:
        if isinstance(outcome, Passed):
            assert isinstance(errand, Order)
            if errand.model is not None:
                return self.follow(errand.model)
            if errand.what == "finish":
                return self.finish(errand.who)
            return {"sample": self.begin(errand.sample).sample}
        if isinstance(outcome, Broken) and not isinstance(outcome.error, ImageError):
            raise outcome.error
        if isinstance(outcome, Judged) and outcome.model is not None:
            self.follow(outcome.model)
        session = self.begin(None if errand is None else errand.sample)
        if isinstance(outcome, Broken):
            assert isinstance(outcome.error, ImageError)
            self._failed(session.add_failure(outcome.error.what, outcome.error))
            raise outcome.error
        return self._add(session, outcome, keeps_picture)

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
        if self._bulletin.health.sample and sample not in (None, self._bulletin.health.sample):
            self.finish()
        health = self._bulletin.health
        name = sample or health.sample or self._new_sample()
        every_frame = sample is not None or health.every_frame
        if self._session is None:
            self._session = self._opened(name)
        if (name, every_frame) != (health.sample, health.every_frame):
            opened.log_opened(self._session, every_frame)
            self._bulletin.change(sample=name, every_frame=every_frame)
        return self._session

    def _opened(self, sample: str) -> Session:
        """Open a session, without pictures where none can be kept."""
        try:
            return Session(self._journal, sample, model=self._model, save=self._settings.save)
        except OutputError as error:
            # A frame without its picture is worth more than no frame.
            if str(error) != self._no_pictures:
                self._no_pictures = str(error)
                self._say("warning", f"no pictures are kept: {error}")
                self._bulletin.failed(str(error))
                self._journal.event("disk", f"no pictures are kept: {error}")
            return Session(self._journal, sample, model=self._model)

    def finish(self, who: str = "") -> dict[str, Any]:
        """Finish the sample that is open, and log its verdict.

        Parameters
        ----------
        who : str
            On whose behalf; empty: nobody's, another sample comes.

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
        session = self._session
        if session is None:
            raise ConfigurationError("finish", "no sample is open", "Start one, or trigger a frame")
        *failures, finished = session.finish()
        for failed in failures:
            assert isinstance(failed, Failed)
            self._failed(failed)
        assert isinstance(finished, Finished)
        opened.log_finished(session, f"asked for by {who}" if who else "another was asked for")
        self._session = None
        self._bulletin.change(sample="", sample_verdict="", every_frame=False)
        decided = finished.decided
        assert decided is not None
        return {
            "sample": finished.sample,
            "frames": decided.frames,
            "verdict": decided.verdict,
            "reason": decided.reason,
            "probabilities": decided.probabilities,
        }

    def log_pictures(self) -> None:
        """Log the pictures that are whole by now; to be called often, since the next frame may be hours away."""
        if self._session is not None:
            for failed in self._session.finished_pictures():
                self._failed(failed)

    def count_dropped(self, dropped: int, is_last: bool = False) -> None:
        """Count frames that made way for newer ones, and log them: at once, and then at most once a minute.

        Parameters
        ----------
        dropped : int
            How many they are since this work was begun.
        is_last : bool
            Whether there will be no more.
        """
        if dropped > self._dropped:
            self._bulletin.count("dropped", dropped - self._dropped)
            self._dropped = dropped
        untold = dropped - self._dropped_told
        if untold and (is_last or time.monotonic() >= self._tell_dropped_s):
            self._dropped_told = dropped
            self._tell_dropped_s = time.monotonic() + _TELL_DROPPED_EVERY_S
            self._say("warning", f"{untold} frames made way for newer ones")
            self.note("dropped", f"{untold} frames made way for newer ones")

    def _add(self, session: Session, judged: Judged, keeps_picture: bool) -> dict[str, Any]:
        logged = session.add(judged.result, judged.pixels if keeps_picture else None)
        self.log_pictures()
        result = logged.result
        self._bulletin.frame(result)
        self._bulletin.change(pictures="kept" if keeps_picture and session.keeps_pictures else "")
        for drifted in illumination.DRIFTS.intersection(result.warnings):
            self.differ(result.frame, drifted)
        so_far = session.so_far()
        assert so_far is not None
        self._bulletin.change(sample_verdict=said(so_far.verdict, so_far.reason))
        return {
            "frame": result.frame,
            "sample": session.sample,
            "record": logged.record,
            "verdict": result.verdict,
            "reason": result.reason,
            "probabilities": result.probabilities,
            "so_far": so_far.verdict,
        }

    def _failed(self, failed: Failed) -> None:
        self._say("warning", str(failed.error))
        self._bulletin.count("failed")
        self._bulletin.failed(str(failed.error))
