"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Is learning from losses statistically favourable?

Learning without derivatives is slow: a step costs the dimension of what it shakes. The conjecture is that it has
*statistical* advantages nevertheless, as brains learn from little data. So two questions are kept apart here. With
any number of losses, does a rule that is driven by noise generalise better from n rows than the gradient does,
stopped and decayed at its best? And how many losses does it take to get there?
"""
READING = ""
LASSO = """Risk of two queries on product weights over that of the cross-validated path of the lasso, which is where the
gradient on product weights with weight decay ends: what is left is what the noise itself does.
"""
FEW = """Held rows choose among all settings and all that has been seen by then; losses are those of one training, and
every setting (six or seven on the linear problems, nine for networks) takes as many again. Rates of networks fall over
the whole training, so a short one of its own would do better than the same losses of a long one.
"""
HOW = """## How

All rules learn from three quarters of the n rows; the other quarter chooses: for the gradient when to stop and how
much to decay the weights, for rules with noise when to stop and how much noise, and rates for all. Replicates share
rows, truth and first weights over rules; ratios are geometric means of paired ratios with t intervals at 95% (linear:
{linear} replicates, networks: {networks}).

*Linear*: Y = X′θ* + ε, 100 inputs, all normal with variance 1; ‖θ*‖² = 5, on all coordinates or on five. The gradient
is exact: gradient flow from 0 in closed form at 80 times and ten weight decays. *Two queries* take (L(θ + cz) − L(θ
− cz)) z / 2c of the loss on all rows, signs z; *one query* (L(θ + cz) − mean of losses) z / c, at two sizes c and
three rates; *product weights* are θ = m · w with noise on both factors, whose mean step has the penalty λ‖θ‖₁ (seven
λ). 60,000 steps each. *lasso* is its path by coordinate descent: where products with weight decay end by the
gradient.

*Networks*: 64 rectifiers in one hidden layer, batches of 64, Adam with a falling rate. Nine settings for each rule:
three rates times three decays (gradient, feedback alignment: 40,000 steps) or three sizes of noise (node
perturbation: 80,000 steps, two queries: 200,000). The functions are those of [the nonparametric
page](nonparametric.md), noise 1; the table is *protein* (45,730 rows, 9 features, target standardised), and its
risk is the squared error on 8,192 other rows, which contains the noise.
"""
