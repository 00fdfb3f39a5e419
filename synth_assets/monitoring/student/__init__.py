"""The student: what a small model learns from the corpus, always tested on real rows.

Here: training on real rows (TRTR), on synthetic rows (TSTR) and on the mix, at stated sizes, and the paired
differences; the weight that synthetic rows earn on steering rows; the error of every stratum, which steers the next
round. Not here: what the next round makes of it (feedback, generation/planner), shift, diversity.
"""

from synth_assets.monitoring.student.measure import measure_student

__all__ = ["measure_student"]
