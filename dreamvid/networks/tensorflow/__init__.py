"""The TensorFlow graph of the 2015 DeepDream notebook."""
