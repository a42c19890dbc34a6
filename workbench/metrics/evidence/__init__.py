"""ln p(X) that verdicts may rest on: proposals that cover, Pareto-smoothed weights, annealing as their judge."""
