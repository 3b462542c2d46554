"""What the page says beside its tables."""

HEAD = """# Deep sparse networks: what helps them to train

Plain ReLU networks of 256 units a layer, without norm layers or skips, with few weights. Which layouts, initialisers
and penalties of `sparsefire.propagation` let them train, and which do not?
"""
READING = ""
