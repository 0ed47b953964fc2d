"""Room of UltraThink."""
