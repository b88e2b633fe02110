"""Rows of items that nobody has touched: what is known of them, and a linear map from that to rows."""
