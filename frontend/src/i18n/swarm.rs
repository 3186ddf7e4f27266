texts! {
    /// Swarms.
    Swarm {
        title: "Swarm", "Swarm";
    }
}
