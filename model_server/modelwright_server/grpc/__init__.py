"""The gRPC form of the protocol."""
