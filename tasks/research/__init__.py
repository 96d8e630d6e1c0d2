"""Cited web context about a suspect, from Tavily."""
