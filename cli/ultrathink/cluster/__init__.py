"""A job on a cluster: written, read, waited for, followed. Nothing here but requests to the API server."""
