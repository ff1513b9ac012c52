"""One page a run: its figures, pictures, model card and provenance in a single HTML file that needs nothing else."""

from __future__ import annotations

from trainer.report.page import PAGE as PAGE
from trainer.report.page import Material as Material
from trainer.report.page import page as page
from trainer.report.sheet import Shown as Shown

__all__ = ["PAGE", "Material", "Shown", "page"]
