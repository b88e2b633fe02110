"""Methods by the operators of the `lerg` namespace."""
