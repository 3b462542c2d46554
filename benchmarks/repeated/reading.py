"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Repeats on one sample, in a network

A forward gradient costs a factor of the dimension: with p parameters, its risk after n samples is about p times
that of the gradient. In the linear model l steps with fresh directions on the same sample win that factor back:
with directions of signs the ratio of risks is **1 + (p − 1) / l** once the rates have settled, so l of about p is
where it pays ([arXiv 2411.17567](https://arxiv.org/abs/2411.17567) has the rate d / min(l, d)). Does that survive
in a network whose parameters act together? `python benchmarks/repeats.py` measures it.
"""
READING = """**Repeats survive in networks, and pay sooner than the number of parameters says.** One repeat costs a
factor of 3.3 to 4.1 over the gradient, not of p, and what a repeat is worth does not grow with the network: D is 4.4,
6.0, 4.6 and 3.4 for 8, 24, 72 and 136 parameters. With about as many repeats as parameters (100 for the largest) the
risk is 1.4 to 2.0 times that of the gradient, where the linear law has 2; the smallest network is the exception with
2.9 [2.3, 3.6]. After 10,000 samples few of the p directions matter to the risk, and repeats have to serve those
alone; that is our reading, the table does not prove it. With four times the samples D is what it was.

The rest of the gap closes slowly: at 100 repeats the ratio is still 1.2 to 1.4, all intervals above 1, where 1 + D /
100 would be 1.03 to 1.06. And a repeat never pays by the loss: a hundred times the losses buy a factor of 2.5 to 3.
"""
CONTROL = """The linear problem is the control. With normal directions its risk is known exactly at every n: the best
schedules of the same grid have D = {dimension:.1f}, above the limit p + 1 = 25, since one repeat has not settled yet:
ratios {ratios}. All {number} recorded means of its runs lie within {far:.1f} standard errors of the exact
risk.
"""
LONG = """## Four times the samples

Is D a number of the problem or of n? `{name}` again, with {samples} samples:
"""
SETTLED = """The law holds where the risk falls as 1/n. The linear problem does or falls faster; no network has come so
far, by the gradient either, so D is what a repeat is worth at this n, not a limit.
"""
HOW = """## How

Y = f*(X) + ε with X standard normal and a standard deviation of 0.5 for ε; f* is a network of one hidden layer of
tanh units, of the learner's own shape (`5-4-1`: 5 inputs, 4 units; p counts all weights). *Near* learners start at
f*'s weights plus noise of 0.1, *far* ones at weights drawn afresh. Each learner sees {samples} samples once. Step
sizes α_k = c / (k + c m C), C the constant of the linear model with as many parameters, are chosen for every
problem and every number of repeats among {grid} pairs (c from {low:g} to {high:g}, m from {near:g} to {far:g}) on
{tuning} runs that are not used again; the table is from {runs} further runs. Runs with the same number share f*, the
start and all samples, so ratios are of paired means; intervals resample runs. The risk is E (f − f*)² over 4,096 fixed
inputs. D is the law 1 + D / l nearest to all ratios, in squares of logarithms; asymptotically the linear model has
D = p − 1 with directions of signs, which networks get, and p + 1 with normal ones.
"""
