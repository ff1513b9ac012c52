"""Seeing: scale, colour, nuclei, tiles and quality of a field; pure functions on arrays."""
