"""What each part of a recipe is worth: networks trained without it, measured on fields that they never saw."""
