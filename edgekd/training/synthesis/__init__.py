"""Synthetic malignant images by a CycleGAN, as Zunair & Ben Hamza 2020 (MelaNet) balance a training split."""
