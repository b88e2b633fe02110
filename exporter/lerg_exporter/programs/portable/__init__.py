"""Methods by operators of stock ExecuTorch alone."""
