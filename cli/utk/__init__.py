"""The command line of UltraThink."""
