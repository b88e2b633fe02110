"""From a model to the bytes of an ExecuTorch program."""
