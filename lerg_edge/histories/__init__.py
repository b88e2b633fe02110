"""Serving somebody by what they have touched: the rule, and how one is chosen on people held out."""
