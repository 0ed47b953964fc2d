"""The shared language of UltraThink: what a job is, which jobs are valid, how a refusal is said."""

from typing import Final

API_GROUP: Final = "ultrathink.io"
API_VERSION: Final = "v1alpha1"
GROUP_VERSION: Final = "ultrathink.io/v1alpha1"
