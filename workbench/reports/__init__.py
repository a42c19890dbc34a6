"""From finished runs to the paper's tables, figures and verdicts; reads metrics.json in one place."""
