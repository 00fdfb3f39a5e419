"""What is the same text twice: near-duplicates (MinHash, then exact Jaccard), clusters, and shared word n-grams.

Here: the measures that splits, discriminators and reports share, over plain text columns; texts makes texts comparable,
near_duplicates and shared_words compare them. Not here: what a stage does with a match (seeds/splits.py,
discriminators/duplicates.py, discriminators/leakage.py, monitoring/privacy/).
"""

from synth_assets.similarity.near_duplicates import (
    LEAST_RECALL,
    PAIRS_SCHEMA,
    Signatures,
    connected_components,
    keep_first,
    match_signatures,
    measure_jaccard,
    near_duplicate_pairs,
    sign_texts,
)
from synth_assets.similarity.shared_words import MATCHES_SCHEMA, NgramIndex, find_ngrams, index_ngrams, ngram_matches
from synth_assets.similarity.texts import (
    SHINGLE,
    STOCK_ROWS,
    WORD,
    chunk_texts,
    comparison_texts,
    find_stock_parts,
    hash_shingles,
    hash_words,
    map_threads,
    normalize_text,
)

__all__ = [
    "LEAST_RECALL",
    "MATCHES_SCHEMA",
    "PAIRS_SCHEMA",
    "SHINGLE",
    "STOCK_ROWS",
    "WORD",
    "NgramIndex",
    "Signatures",
    "chunk_texts",
    "comparison_texts",
    "connected_components",
    "find_ngrams",
    "find_stock_parts",
    "hash_shingles",
    "hash_words",
    "index_ngrams",
    "keep_first",
    "map_threads",
    "match_signatures",
    "measure_jaccard",
    "near_duplicate_pairs",
    "ngram_matches",
    "normalize_text",
    "sign_texts",
]
