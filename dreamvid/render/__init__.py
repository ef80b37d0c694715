"""A video from a source: plan, segments, job, resume, preview."""
