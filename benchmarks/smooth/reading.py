"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Rough functions, and how fast small networks learn them

How fast can a function be learned that has smoothness β in d dimensions and no more? No estimator's squared risk
falls faster than n^(−2β/(2β + d)) in the worst case, and compositions of low-dimensional functions allow the
exponent of their worst part ([arXiv 1708.06633](https://arxiv.org/abs/1708.06633)). For rules that learn without
derivatives no exponent is known. Here they are measured, beside back-propagation and an estimator whose exponent is
known.
"""
READING = """**At equal rows, noise on units and fed-back errors learn rough functions as fast as back-propagation
does; two queries fall behind, for want of losses.** Of the 36 differences of slopes below about two are
expected to miss 0 by chance.

- **The harness sees exponents**: the smoother's are within 0.05 of the best possible for all twelve functions.
- **Node perturbation has the slope of back-propagation** wherever intervals can tell: eleven of twelve hold 0 (the
  one outside is steeper, +0.12), and five of them exclude a difference of 0.1. Its risks at 4,096 rows are 0.6 to
  1.26 times back-propagation's.
- **Feedback alignment** has it on all but four: it is shallower on the composition (−0.12 [−0.16, −0.07]) and for
  β = 2, d = 2, steeper for β = ½, d = 1 and a little for β = ½, d = 2.
- **Two queries are shallower on eight of twelve**, by 0.1 to 0.4, and level with the others up to 512 rows. At
  4,096 rows 71% of their trainings still improved at the last of 200,000 losses: this is a budget, not an exponent.
- **Low-dimensional structure is found, at a price**: on the composition and the single index the slopes of networks
  are near those of a smoother that is told the coordinates, at 4 to 7 times its risk; on the full five-dimensional
  classes networks are level with it or better for β ≤ 1.
"""
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
