"""Pure tensor maths of reinforcement learning: tensors in, tensors out, nothing else."""
