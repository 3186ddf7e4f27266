//! Docker Swarm.
