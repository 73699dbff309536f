"""What is simulated: 50 requests a second, 1 % bad, a tenth for the canary, a look every 5 s; and harder rollouts."""

from __future__ import annotations

from tests.verdicts.simulation import Scenario

HOUR = 720  # looks

EQUAL = Scenario("equal")
RISKS = {risk: Scenario(f"{risk:g} times as risky", risk=risk, looks=looks) for risk, looks in (
    (0.8, HOUR), (1.0, HOUR), (1.2, HOUR), (1.5, HOUR), (2.0, 300), (5.0, 120), (10.0, 60),
)}  # fmt: skip
STEPS = Scenario("equal, 5, 20 and 50 % in turn", weights=(5, 20, 50))
STICKY = Scenario("equal, users of one arm come and go", sticky=0.5)
STICKY_STEPS = Scenario("equal, 5, 20 and 50 % in turn, users come and go", weights=(5, 20, 50), sticky=0.5)
TOLERATED = Scenario("1.5 times as risky, and that is tolerated", risk=1.5, tolerated=1.5)
QUIET = Scenario("equal, one request a second, of which 5 % are bad", requests_per_second=1, bad=0.05)
BURSTS = Scenario("equal, bursts of ten within a look", cluster=10)
LONG_BURSTS = Scenario("equal, bursts of ten over half a minute", cluster=10, cluster_looks=6)
BURSTS_WORSE = Scenario("5 times as risky, bursts of ten within a look", risk=5, cluster=10, looks=360)
LONG_BURSTS_WORSE = Scenario(
    "5 times as risky, bursts of ten over half a minute", risk=5, cluster=10, cluster_looks=6, looks=360
)
