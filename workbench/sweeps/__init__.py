"""Many runs of notebook 04."""
