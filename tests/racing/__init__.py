"""Threads that ask one open bundle beside one that learns, to be run under the thread sanitizer."""
