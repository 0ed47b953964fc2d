"""Data sets made of text: read, clean, dedupe, tokenise, pack, and check what came of it. No torch."""
