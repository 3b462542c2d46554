"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Repeats on one sample, in a network

A forward gradient costs a factor of the dimension: with p parameters, its risk after n samples is about p times that
of the gradient. In the linear model l steps with fresh directions on the same sample win that factor back: with
directions of signs the ratio of risks is **1 + (p − 1) / l** once the rates have settled, so l of about p is where it
pays ([arXiv 2411.17567](https://arxiv.org/abs/2411.17567) has the rate d / min(l, d)). Does that survive in a network
whose parameters act together? `python benchmarks/repeats.py` measures it.
"""
READING = ""
HOW = """## How

Y = f*(X) + ε with X standard normal and a standard deviation of 0.5 for ε; f* is a network of one hidden layer of
tanh units, of the learner's own shape (`5-4-1`: 5 inputs, 4 units; p counts all weights). *Near* learners start at
f*'s weights plus noise of 0.1, *far* ones at weights drawn afresh. Each learner sees {samples} samples once. Step
sizes α_k = c / (k + c m C), C the constant of the linear model with as many parameters, are chosen for every problem
and every number of repeats among 5 × 5 pairs (c, m) on {tuning} runs that are not used again; the table is from
{runs} further runs. Runs with the same number share f*, the start and all samples, so ratios are of paired means;
intervals resample runs. The risk is E (f − f*)² over 4,096 fixed inputs. D is the law 1 + D / l nearest to all
ratios, in squares of logarithms; the linear model has D = p − 1 asymptotically.
"""
