"""The flows that people and schedules start; each reads like the drawing in the README."""
