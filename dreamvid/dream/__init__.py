"""The dream core: tensors in, tensors out, no files and no time."""
