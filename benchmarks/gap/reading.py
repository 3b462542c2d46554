"""What the page says beside its tables."""

HEAD = """# The open gap: pruning a dense network against one random mask

Networks that are trained dense and pruned are better than networks that are trained on one random mask from the start.
How much of that gap closes when the mask, the first weights, the penalty or the optimizer are chosen better, with as
many weights, and with no dense phase?
"""

READING = """READING
"""

HOW = """## How it was measured

HOW
"""

ABLATION = """ABLATION
"""
