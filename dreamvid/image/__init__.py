"""One still image: reading, fetching and writing it, arrays and tensors."""
