"""Evaluation of an index on labelled photos: labels, labelled faces, report, sweep, plots."""
