"""How the evidence page groups what shadow copies showed: upper bounds of its bins, which both sides know.

Each list of counts has one number more than its bounds: of what is above the last.  Standard library only.
"""

# Rows, by the difference between the two tracks' scores: of probabilities the absolute difference, of predicted
# numbers the difference divided by the larger of the two magnitudes.
SCORE_BOUNDS = (1e-6, 1e-4, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5)

# Requests, by the canary's seconds less stable's, as the stable pod saw both.
LATENCY_BOUNDS = (-0.1, -0.01, -0.001, 0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

# Two predicted numbers agree where their difference, as above, is at most this; labels agree where they are equal.
AGREEING_NUMBERS = 0.01

MOST_STEPS = 32  # keys (canary, sequence) that a server keeps, the newest
