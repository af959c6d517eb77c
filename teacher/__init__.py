"""The training side's first stage: language-model item vectors, cross-domain training, fusion with collaborative models."""
