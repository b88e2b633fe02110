"""What opens: the native module, the budget and the program of a bundle, threads, resident memory."""
