"""In-server routing: stable's pods give the canary its share of the requests, as the traffic table says.

`watch` reads the table, `choice` picks a track for a request, `pool` carries requests to the canary, `answers` judges
what comes back, `breaker` gives up on a canary that does not answer, `shadow` sends copies, `evidence` counts.
`traffic` holds these together; the transports do the rest.
"""
