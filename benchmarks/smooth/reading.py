"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Rough functions, and how fast small networks learn them

How fast can a function be learned that has smoothness β in d dimensions and no more? No estimator's squared risk
falls faster than n^(−2β/(2β + d)) in the worst case, and compositions of low-dimensional functions allow the
exponent of their worst part ([arXiv 1708.06633](https://arxiv.org/abs/1708.06633)). For rules that learn without
derivatives no exponent is known. Here they are measured, beside back-propagation and an estimator whose exponent is
known.
"""
READING = ""
POWER = """Slopes are at these sizes and these budgets, not at infinity. Half the width of an interval of a slope, in
the middle over functions; a difference 1.43 times as large is seen with a power of 80%:
"""
STOPPED = """Held rows chose the last step: with more of them the risk might have fallen further, so that slopes of
such cells are those of a budget. Share of trainings:
"""
HOW_IT_WAS_DONE = """## How

Functions are `sparsefire.convergence.functions`: one bump of random sign in every cell of every scale, so that the
exponent is attained at every n; variance 1, uniform inputs, normal noise with standard deviation 1 (0.4 for the
three that have five variables at heart). Networks have 64 rectifiers in one hidden layer, and learn from batches of
64 by Adam with a falling rate; three quarters of the rows train, one quarter chooses among three rates (two for two
queries) and stops. Back-propagation and feedback alignment make 40,000 steps, node perturbation 60,000 and two
queries 100,000; each step of the last two reads two losses. n is {rows}; {replicates} replicates, each with its own
function, rows and weights, the same for all rules. A replicate keeps its function at all n, so intervals (95%) draw
whole replicates again, and differences between rules are paired by replicate. The smoother fits a polynomial of
degree ⌊β⌋ in each cell of a grid, whose fineness is the best for each sample, in the coordinates that matter (an
oracle twice; its exponent is 2β/(2β + t)); n up to {largest}, {smooth} replicates. The risk is over 8,192 fresh
rows without noise.
"""
