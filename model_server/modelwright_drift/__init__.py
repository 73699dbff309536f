"""Drift: what a model was trained on, as counts on fixed bins, and tests of live counts against it.

Pure: no clock, no files, no randomness; NumPy and the standard library only.  The trainer writes the
baseline with it, the monitor counts and judges with it.

==============  ====================================================================================
`baseline`      what is kept of each feature and prediction: bins and counts, never rows
`binning`       where the bins of a feature lie
`summary`       from columns to a baseline's features
`document`      `baseline.json`, written canonically and read as if by an enemy
`counts`        live rows on the baseline's bins; counts add across pods and windows
`divergence`    PSI, and the chi-square test against a margin
`verdict`       a window's counts against the baseline
`tails`         upper tails of the distributions these tests need
==============  ====================================================================================
"""
