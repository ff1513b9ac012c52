"""The device's side of wbc-edge: from a camera frame to a logged verdict.

For research use only, not a diagnosis.
"""

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "For research use only, not a diagnosis."
