"""What stands on the page beside the tables; read it again when the tables change."""

HEAD = """# How good without derivatives

Small networks that learn from losses alone, or by local rules, in a minute or ten of one core: what do they reach? And
what does back-propagation reach on the same networks?

![Errors on MNIST against CPU seconds, by rule](images/without-derivatives.svg)
"""

READING = """## In short

READING

## How it was measured

Five replicates each: digits are split anew (1,437 rows to learn from, 360 to judge on), MNIST keeps its
60,000 and 10,000 rows, and first weights, masks, noise and the order of the rows are new. Brackets are 95%
t intervals over replicates; for MNIST they do not hold the luck of its test rows (a standard error of about
0.15 points at 98%). Differences to back-propagation are paired: the same network, mask, first weights and
order of rows, with a rate of its own.

The highest rate is chosen among two or three by one training on four fifths of the training rows, judged on
the last fifth, which is not part of the tables. AdamW without weight decay, warm-up, then half a cosine.
Shapes, epochs and directions were found by some twenty looks at single trainings, most by such an inner
split, for MNIST partly on its test rows; so read differences of a few tenths between rows with care.

*Targets* were set beforehand from rough prototypes, *stretch* is what these hoped for. "yes": the lower end
of the interval lies above; "mean only": the mean does. *Active* counts weights and biases. *Losses read*:
of the batch for black boxes, of single rows for rules on units; feedback rules read one and use its
derivative at the output. Black boxes read 64 losses of one batch per step; rules with noise on units draw
four directions per row. Inputs are pixels, or principal components of the training rows with variance 1,
which takes no label. *fields*: masks of receptive fields of correlated pixels, drawn without labels ([the
open gap](open_gap.md)).

CPU seconds are those of one thread without looks at the accuracy, on a machine that was busy with other
work. About MINUTES minutes of one core for the tables, half as much again for the choice of rates. Repeat
with `python benchmarks/without_derivatives.py`, which resumes when it was stopped; `--quick` takes a
minute, `--table` writes this page from what is finished."""

SHORT = """- **Every class of rule reaches its target, with most of its time left**, on digits and on MNIST, each by
  the lower end of its interval; networks have fewer than 20,000 active weights but for the dense ones.
- **MNIST, 98.1% [98.1, 98.2] from losses alone with 19,576 parameters** in half a minute: unit-wise differences on
  receptive fields. That is what back-propagation reaches on the same networks (-0.08 [-0.26, 0.11] points) in less
  than half the time. Random masks are 0.42 [0.37, 0.47] points behind fields, the dense network with ten times the
  weights 0.10 [0.03, 0.18] ahead.
- **A black box, one number for 512 rows, gets to 95.1% with 1,162 parameters** on 25 whitened components, after
  604,160 losses and a minute and a half. Node perturbation reaches 97.2%, and its limit, forward mode on
  activities, 97.1% for a quarter more time: to be rid of the size of the noise gains nothing.
- **Feedback alignment: 97.1% in 17 seconds**, 97.8% on fields. Fields help every rule here.
- **A wide sparse network beats a narrow dense one as a black box**: on digits of 28 × 28 pixels, 784-300-100-10 at
  density 0.02 has 3.3 [0.8, 5.9] points more right than 784-7-10 with as many weights, directions and losses (12
  CPU seconds against 7), and 2.1 [0.0, 4.1] points more than back-propagation on the narrow one. To the dense
  network of its own shape, in about the same time, no difference is shown (+0.8 [−0.7, 2.3]). Inputs are redundant
  there, so a random mask loses little; where they are not, [random masks lose](price.md).
- **Not reached**: the hopes of 97% for a black box on digits (96.5%: 971 parameters, half of its minute) and of
  98.3% for dense unit-wise differences (98.22%; back-propagation 98.22%, so the limit is that of twelve epochs).
  Two rates were tried for the first, three for the second."""
