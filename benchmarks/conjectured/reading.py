"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Is learning from losses statistically favourable?

Learning without derivatives is slow: a step costs the dimension of what it shakes. The conjecture is that it has
*statistical* advantages nevertheless, as brains learn from little data. So two questions are kept apart here. With
any number of losses, does a rule that is driven by noise generalise better from n rows than the gradient does,
stopped and decayed at its best? And how many losses does it take to get there?
"""
READING = """**As a rule no; with the right parameters yes, by a factor of three to six.** Of 67 ratios below about
three are expected to miss 1 by chance.

- **Sparse truth: two queries on product weights have 0.15 to 0.32 of the risk of the tuned gradient on plain
  weights**, at every n, with no derivative and no explicit penalty. They are level with the lasso, all five
  intervals hold 1: what wins is the penalty that the noise is. The gradient on product weights with weight decay
  would end at the same place, so the advantage is of the noise on products, not of doing without derivatives.
- **Dense truth: the same rule is 3 to 16% dearer** than the gradient, yet up to 10% below the lasso with few rows:
  held rows may stop it early, which a path of penalties cannot.
- **On plain weights noise does not help.** Two queries and one query are 2 to 10% above the gradient in every cell,
  most intervals above 1. With any number of losses they go where the gradient goes, a little less surely.
- **Networks, 128 and 512 rows: no difference is seen**, 18 of 18 intervals hold 1 and reach 7 to 40% to either
  side. **2,048 rows: two queries are dearer** on both functions, 1.31 and 1.18, and node perturbation on the table,
  1.04; 13 of 18 trainings by two queries still improved at their last step, so 400,000 losses were not enough. One
  cell of 27 is better, feedback alignment on the table, 0.97 [0.95, 1.00]: as many as chance gives.
- **With a given number of losses the gradient wins everywhere**, but for product weights on the sparse truth, from
  10,000 losses on.
"""
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
