"""Checks of corrections, one for each, under the same names."""
