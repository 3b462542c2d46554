"""What the page says in words; numbers in it were read off the tables."""

HEAD = """# Is learning from losses statistically favourable?

Learning without derivatives is slow: a step costs the dimension of what it shakes. The conjecture is that it has
*statistical* advantages nevertheless, as brains learn from little data. So two questions are kept apart here. With
any number of losses, does a rule that is driven by noise generalise better from n rows than the gradient does,
stopped and decayed at its best? And how many losses does it take to get there?
"""
READING = """**No. The factor of three to six on the sparse truth comes from product weights, and the gradient has it
there too; from small first weights the gradient gains more than noise does.**

- **Sparse truth, same start: it is the parameterisation.** The gradient on product weights, stopped and decayed at its
  best, has 0.16 to 0.34 of the risk of the tuned gradient on plain weights, two queries there 0.15 to 0.32, and the one
  over the other is 0.88 to 0.96: four of five intervals hold 1, the fifth is 0.88 [0.81, 0.97] at n = 200 and does not
  stand when all are judged together. In logarithms 93 to 97% of the gain needs no noise. The noise is level with the
  decay, and with the lasso, whose penalty it has; it needs neither a derivative nor an explicit penalty.
- **Sparse truth, any start: noise loses from n = 100 on.** Small starts alone, without noise or decay, bring the
  gradient to 0.29, 0.07, 0.05, 0.04 and 0.06 of the tuned gradient on plain weights. Two queries with the same choice
  of starts and rates gain by them too, 0.25 to 0.07, but their risk is 1.36 to 1.58 times that of the gradient, all
  four intervals above 1 and all standing together; the least of seven noises is the one most often chosen. At n = 50
  noise may help: 0.88 [0.76, 1.02], and 0.84 [0.72, 0.99] beside the gradient without decay, which does not stand.
- **Dense truth: product weights are dearer**, by 2 to 11% with the gradient and 3 to 16% with noise, one over the other
  1.00 to 1.05: noise adds nothing, and at n = 800 it costs, 1.03 [1.00, 1.05], which does not stand together. Both are
  9 to 13% below the lasso at n = 50 and 100: held rows may stop them early, which a path of penalties cannot.
- **On plain weights noise does not help.** Two queries and one query are 2 to 10% above the gradient in every cell,
  most intervals above 1. With any number of losses they go where the gradient goes, a little less surely.
- **Networks, 128 and 512 rows: no difference is seen**, 18 of 18 intervals hold 1 and reach 7 to 40% to either
  side. **2,048 rows: two queries are dearer** on both functions, 1.31 and 1.18, and node perturbation on the table,
  1.04; 13 of 18 trainings by two queries still improved at their last step, so 400,000 losses were not enough. One
  cell of 27 is better, feedback alignment on the table, 0.97 [0.95, 1.00]: as many as chance gives. Judged together
  none of the 27 stands.
- **With a given number of losses the gradient on plain weights wins everywhere**, but for product weights on the
  sparse truth, from 10,000 losses on.
"""
MARKS = """{all} ratios, of which {chance:.0f} would miss 1 by chance alone; {alone} do. †: misses 1 also when all of
them are judged together (Holm); {together} do.
"""
BESIDE = """Risk of the first over that of the second. *Gradient, product weights* starts where the noise does and is
stopped and decayed at its best; *any start* chooses among three, the others ten and a hundred times smaller, with decay
too; *no decay* is the same with stopping alone. The first two lines multiply to two queries on product weights over the
gradient on plain ones: what the parameterisation brings, and what noise does in place of decay.
"""
FEW = """Held rows choose among all settings and all that has been seen by then; losses are those of one training, and
every setting (six or seven on the linear problems, 42 with any start, nine for networks) takes as many again. Rates of
networks fall over the whole training, so a short one of its own would do better than the same losses of a long one.
"""
HOW = """## How

All rules learn from three quarters of the n rows; the other quarter chooses: for the gradient when to stop and how
much to decay the weights, for rules with noise when to stop and how much noise, and rates for all. Replicates share
rows, truth and first weights over rules; ratios are geometric means of paired ratios with t intervals at 95% (linear:
{linear} replicates, networks: {networks}).

*Linear*: Y = X′θ* + ε, 100 inputs, all normal with variance 1; ‖θ*‖² = 5, on all coordinates or on five. The gradient
is exact: gradient flow from 0 in closed form at 80 times and ten weight decays. *Two queries* take (L(θ + cz) − L(θ
− cz)) z / 2c of the loss on all rows, signs z; *one query* (L(θ + cz) − mean of losses) z / c, at two sizes c and
three rates; 60,000 steps each. *Product weights* are θ = m · w, from m = 0.3 and w = 0. Two queries shake both factors,
and their mean step has the penalty λ‖θ‖₁ (seven λ, 60,000 steps). The gradient takes 20,000 steps on ½|Y − Xθ|²/n + ½λ
(|m|² + |w|²), which has the same penalty (the same λ and 0), with two rates, looked at 100 times. *Any start*: m = 0.3,
0.03 or 0.003, and the two rates for noise too, which is run so on the sparse truth only. *lasso* is its path by
coordinate descent: where products with weight decay end by the gradient.

*Networks*: 64 rectifiers in one hidden layer, batches of 64, Adam with a falling rate. Nine settings for each rule:
three rates times three decays (gradient, feedback alignment: 40,000 steps) or three sizes of noise (node
perturbation: 80,000 steps, two queries: 200,000). The functions are those of [the nonparametric
page](nonparametric.md), noise 1; the table is *protein* (45,730 rows, 9 features, target standardised), and its
risk is the squared error on 8,192 other rows, which contains the noise.
"""
