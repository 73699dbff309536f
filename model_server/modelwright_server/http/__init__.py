"""REST: HTTP/1.1 framing, and the Open Inference Protocol's paths and JSON messages over the data plane."""
