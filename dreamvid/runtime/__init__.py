"""The machine: device, CUDA graphs and streams, queues, signals, files, profiling, plugins. Knows no image."""
