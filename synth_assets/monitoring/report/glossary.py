"""What each measure is called and means, in a sentence for somebody who does not know its abbreviation.

Here: words. Not here: any number.
"""

from __future__ import annotations

from synth_assets.monitoring.plots import ABBREVIATIONS

REPORT_NAMES = {
    "shift_report": "Shift",
    "collapse_report": "Collapse",
    "privacy_report": "Privacy",
    "student_report": "Student",
}


def name_metric(metric: str) -> str:
    """Return a metric's name as people read it: "membership_auc" → "membership AUC"."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in metric.replace("/", ": ").split("_"))


def explain_metric(metric: str) -> str:
    """Return the sentence for a metric, by the longest beginning or end that is known; "" for none.

    The ends of an interval (…_low, …_high) are told as what the interval is of.
    """
    name = metric.rsplit("/", 1)[-1].removesuffix("_low").removesuffix("_high")
    known = [part for part in MEANINGS if name.startswith(part) or name.endswith(part)]
    return MEANINGS[max(known, key=len)] if known else ""


MEANINGS: dict[str, str] = {
    # shift
    "psi": "Population stability index: how much the shares of values or bins moved; 0.1 is worth a look by custom.",
    "js_distance": "Jensen–Shannon distance between the shares, from 0 (the same) to 1 (nothing in common).",
    "ks": "Kolmogorov–Smirnov: the widest gap between the two cumulative distributions.",
    "cramers_v": "Cramér's V: how strongly a value tells real from synthetic, from 0 to 1.",
    "wasserstein": "Wasserstein distance: how far values would have to move, in standard deviations of the real rows.",
    "uncovered_share": "Share of synthetic rows in strata with too few real rows to compare with.",
    "stratum_mix_tv": "Share of rows that would have to change stratum to meet the plan.",
    "stratum_mix_psi": "Population stability index of the strata against the plan.",
    "c2st_accuracy": "How often a classifier tells synthetic from real rows that it has not seen; ½ is guessing.",
    "c2st_forest_accuracy": "The same with a random forest, which sees what only several fields together give away.",
    "mmd2": "Maximum mean discrepancy: distance of the two sets of embeddings, squared.",
    "frechet_distance": "Fréchet distance of the embeddings, as if both sets were normal.",
    "correlation_difference": "Largest difference between the correlations of two columns in real and synthetic rows.",
    "word_phi": "How strongly a single word tells real from synthetic texts, from 0 to 1.",
    "new_word_share": "Share of words in synthetic texts that no real text holds.",
    "lost": "What real rows have and no synthetic row does, though chance alone would hardly leave it out.",
    # collapse
    "distinct_2": "Share of word pairs that are different, at an equal number of words.",
    "distinct_2_drop": "Fall of that share against real rows.",
    "vendi_score": "How many really different texts there are, by their embeddings.",
    "vendi_drop": "Fall of that number against real rows.",
    "distinct_1": "Share of words that are different, at an equal number of words.",
    "distinct_3": "Share of runs of three words that are different, at an equal number of words.",
    "bigram_entropy": "How evenly word pairs are used, in bits.",
    "semantic_coverage": "Share of the real rows that have a text of like meaning, by their embeddings.",
    "entropy_drop": "Fall of the column's entropy against real rows, as a share.",
    "compression_ratio": "How far the texts compress: more means more repetition.",
    "self_repetition": "How often a text repeats runs of words of other texts.",
    "self_bleu": "How alike the texts are to one another, by BLEU.",
    "rare_word_coverage": "Share of the real rows' rare words that are still there.",
    "rare_bigram_coverage": "Share of the real rows' rare word pairs that are still there.",
    "rare_value_coverage": "Share of the rare values that are still there.",
    "rare_pair_coverage": "Share of the rare combinations of two values that are still there.",
    "variance_drop": "Fall of the column's variance against real rows, as a share.",
    "tail_share": "Share of rows in the outermost parts of the real distribution.",
    "perplexity": "How badly a model of these rows predicts real text; less is better.",
    # privacy
    "near_copy_share": "Share of synthetic texts that are nearly a training text.",
    "exact_copy_share": "Share of synthetic rows that equal a training row.",
    "copied_share": "Share of synthetic rows that are nearly a training row, beyond what coincidence makes.",
    "near_record_share": "Share of synthetic rows that equal a training row in all columns but two.",
    "long_span_share": "Share of synthetic texts with a long run of words in a row of a training text.",
    "close_record_share": "Share of synthetic rows closer to a training row than real rows are to one another.",
    "close_record_median": "Median distance to the nearest training row.",
    "longest_span": "Words in a row that a synthetic text shares with a training text.",
    "membership_auc": "How well the synthetic rows tell which real rows were trained on; ½ is guessing.",
    "singling_out_risk": "How much better than chance a guess singles out one training row.",
    "linkability_risk": "How much better than chance two halves of a training row are linked.",
    "inference_risk": "How much better than chance a hidden value of a training row is inferred.",
    "smallest_combination": "Fewest rows that share a combination of the declared quasi-identifiers.",
    # student
    "accuracy": "Share of real rows that the student gets right.",
    "macro_f1": "F1 score, averaged over the classes.",
    "worst_decile_f1": "F1 score of the worst tenth of the classes.",
    "r2": "Share of the variance that the student explains.",
    "drop": "How far the student falls below the one trained on real rows.",
    "steering_error": "Share of the stratum's steering rows that the student gets wrong.",
    "synthetic_weight": "Weight of a synthetic row beside a real one, chosen on steering rows.",
    "test_rows_in_training": "Test rows that also stand in the training rows; they are left out.",
}
