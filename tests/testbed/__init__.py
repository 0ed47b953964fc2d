"""The test bed: a real Kubernetes, a real S3 server and real images on one machine, so that tests need no mocks."""
