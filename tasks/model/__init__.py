"""The shared vocabulary of all steps: values without I/O and without Prefect."""
