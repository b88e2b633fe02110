"""Ids and pairs as callers and files give them, resolved to indices of a bundle."""
