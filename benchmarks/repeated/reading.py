"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Repeats on one sample, in a network

A forward gradient costs a factor of the dimension: with p parameters, its risk after n samples is about p times
that of the gradient. In the linear model l steps with fresh directions on the same sample win that factor back:
with directions of signs the ratio of risks is **1 + (p − 1) / l** once the rates have settled, so l of about p is
where it pays ([arXiv 2411.17567](https://arxiv.org/abs/2411.17567) has the rate d / min(l, d)). Does that survive
in a network whose parameters act together? `python benchmarks/repeats.py` measures it.
"""
READING = """**Repeats survive in networks, and pay sooner than the number of parameters says.** With about as many
repeats as parameters (100 for the largest) the risk is 1.4 to 2.1 times that of the gradient in every network; the
linear law
has 2. One repeat costs a factor of 3 to 4, not of p, and what a repeat is worth does not grow with the network: D
is 5.4, 5.9, 4.6 and 3.4 for 8, 24, 72 and 136 parameters. After 10,000 samples few of the p directions matter to
the risk, and repeats have to serve those alone; that is our reading, the table does not prove it.

The rest of the gap closes slowly: at 100 repeats the ratio is still 1.1 to 1.5, all intervals above 1, where 1 + D
/ 100 would be 1.03 to 1.06. And a repeat never pays by the loss: a hundred times the losses buy a factor of 2.5 to
3.
"""
CONTROL = """The linear problem is the control. Its exact risk (normal directions, the best schedule of the same grid)
has D = {dimension:.1f} at this n, above its limit p + 1 = 25, since one repeat has not settled yet: ratios {ratios}.
The runs, with signs, have a D as far above theirs, p − 1 = 23.
"""
SETTLED = """The law holds where the risk falls as 1/n. The linear problem does or falls faster; no network has come so
far, by the gradient either, so D is what a repeat is worth at this n, not a limit.
"""
HOW = """## How

Y = f*(X) + ε with X standard normal and a standard deviation of 0.5 for ε; f* is a network of one hidden layer of
tanh units, of the learner's own shape (`5-4-1`: 5 inputs, 4 units; p counts all weights). *Near* learners start at
f*'s weights plus noise of 0.1, *far* ones at weights drawn afresh. Each learner sees {samples} samples once. Step
sizes α_k = c / (k + c m C), C the constant of the linear model with as many parameters, are chosen for every
problem and every number of repeats among 5 × 5 pairs (c, m) on {tuning} runs that are not used again; the table is
from {runs} further runs. Runs with the same number share f*, the start and all samples, so ratios are of paired
means; intervals resample runs. The risk is E (f − f*)² over 4,096 fixed inputs. D is the law 1 + D / l nearest to
all ratios, in squares of logarithms; the linear model has D = p − 1 asymptotically.
"""
