"""The model zoo: registry, weights, tracing, truncation, fused convolutions, the table of layers."""
