"""What theory allows: reference curves, Fisher bounds, and plans against them."""
