"""The carried residual: keyframes, disocclusion, the frame dreamer."""
