//! A strict stand-in for the Kubernetes API server.
