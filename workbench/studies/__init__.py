"""Questions beyond the paper, one notebook each; imported by notebooks and tests alone."""
