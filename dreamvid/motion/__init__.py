"""Optical flow, and what is known of a flow: field, occlusion, photometric error, what stands still."""
