"""Training: the teacher, the student that listens to it, and the quantization-aware student."""
