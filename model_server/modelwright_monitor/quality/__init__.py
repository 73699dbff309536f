"""Quality by delayed labels: what labels say of predictions, counted so that counts add.

Pure but for `ledger`, which is shared by threads: no clock, no files, no sockets; standard library only.

==========  ============================================================================================
`tally`     what is counted of a set of predictions; tallies add across labels, pods and days
`cohorts`   tallies by version and day of the prediction, and how long they are kept
`metrics`   from a tally to a metric's value and its interval
`joining`   a label and the prediction's id: what they add to which cohort
`memory`    which predictions have their label already
`ledger`    what a pod counted and the status does not have yet: each label gets there once
`report`    all of it as ``status.monitoring.quality``, and the verdict
==========  ============================================================================================
"""
