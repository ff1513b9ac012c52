"""Data sets before training: from folders to a manifest, and what is wrong with one."""
