"""Language models that count: n-grams with modified Kneser-Ney smoothing."""
