"""The sidecar of a serving pod: follows its own Deployment and leaves the traffic table where the server reads it."""
