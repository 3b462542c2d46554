"""The words of the page."""

HEAD = """# Learning the law of a spike train

A neuron does not compute a function of its inputs: it fires with probabilities. What is to be learnt is a law over
spike trains. Here a *teacher* fires and a *student* learns its law from the spikes, by what a statistician would do and
by two rules that a synapse could follow; how fast, by the number of spikes that were seen?

*Teacher*: d Poisson inputs of 20 Hz, filtered by synapses of 20 ms; weights in a random direction, so that the
potential varies by 0.8 in units of the escape noise; an exponential hazard; an after-potential of 20 ms; steps of 5 ms.
*Student*: other weights in the same law, all else known. *Risk*: excess log-likelihood per spike, the divergence of the
student's law from the teacher's in nats, computed from both probabilities in every step of held-out input, so that no
spike has to be drawn for it (`sf.spiking.Teacher.risk`).

- *Maximum likelihood*: Newton's method on all spikes so far (`sf.spiking.maximise_likelihood`).
- *Local, likelihood*: presynaptic trace times (spike of the teacher − own probability), the gradient of the likelihood
  of each step, once (Pfister et al. 2006, doi:10.1162/neco.2006.18.6.1318). Weights are averaged.
- *Local, reward*: the student draws spikes of its own; trace times (own spike − own probability) is kept as far as the
  reward exceeds its running mean. The reward is one number for the neuron: agreement with the teacher, paid by the
  odds, 1/P(own spike = the teacher's). The mean update is the gradient of the likelihood, which nobody forms.

```python
import sparsefire as sf

teacher = sf.spiking.draw_teacher(10, rng=0)
lesson, held_out = teacher.record(20_000, rng=1), teacher.record(20_000, rng=2)
weights = sf.spiking.maximise_likelihood(teacher, lesson)
learned = sf.spiking.learn_online(teacher, 20_000, "likelihood", step_size=0.2, average_after=2000, rng=3)
for name, found in (("maximum likelihood", weights), ("local", learned.averages[-1])):
    print(f"{name}: {lesson.spikes.sum()} spikes, excess {teacher.risk(found, held_out):.4f} nats per spike")
```
"""

READING = """Points are means over runs with 95% intervals, each run with a teacher of its own; all three learners of
a run have the same teacher. Against spikes *per weight* the curves of 10, 40 and 100 weights lie on one another.
"""

LAW = """Wilks' theorem promises n · risk → d/2 to maximum likelihood: a weight costs half a nat, whatever the law. It
holds within a tenth from ten spikes per weight on (2 n risk / d, with 95% intervals):
"""

PRICE = """The local rule that follows the likelihood ends where maximum likelihood does, within 6%, though it sees
each step once and keeps nothing but weights, traces and an average. It gets there later: at 25 spikes per weight its
risk is 1.4 to 2.2 times that promised, and at 100 still 1.2 to 1.3 times.

The rewarded rule has a larger constant, and which one can be said beforehand: in a step in which the teacher fires
with probability p, the variance of its update is (1 − p)²/p + p²/(1 − p) times that of the likelihood's, and the risk
of averaged weights is larger by the mean of that in the metric of the information (`Teacher.price_of_reward`). **The
price of the reward is about one over the chance of a coincidence, and does not depend on d.** Rules that perturb
weights pay a factor that grows with their number ([learning from losses](convergence.md)); here nothing is random but
one spike of the neuron. Shorter steps cost more, as two neurons then fire in the same step more seldom.

The limit is not quite reached by the longest runs: the constant is still falling with 10 and 40 weights, which is why
exponents of the last decade are above 1. Risk of reward over that of likelihood after the same spikes (95% by drawing
runs again, in pairs):
"""

HOW = """Exponents are those of the last decade of spikes, by `sf.convergence.fit_rate` with intervals from runs drawn
again. The teacher fires in {chance:.3f} of the steps. Risks are means over {held_out} held-out steps. Step sizes are
γ (1 + t/t₀)^(−power), t₀ = {delay} steps per weight, power {powers}; γ, power and the start of the average were
chosen by mean risk at the end of runs of their own. What the student is told: base rate, kernels and after-potential,
and the teacher's own spikes for that; it learns d weights alone. A student that draws its history from its own
spikes, or learns kernels too, is not tried here. Tables and picture: `python benchmarks/teacher.py --table`.
"""
