"""Checkpoints as bytes: layout, commit, fencing, verification over file and S3. No torch, no ray, no numpy."""
