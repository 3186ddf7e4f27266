//! From the results of checks to healthy or not. Pure.

use std::time::Duration;

use drover_api::Health;
use drover_compose::HealthProbe;

/// Counts results.
#[derive(Debug)]
pub(super) struct Judge {
    healthy_after: u32,
    unhealthy_after: u32,
    initializing: Duration,
    health: Health,
    /// Results in a row that speak against the present verdict.
    against: u32,
}

impl Judge {
    pub fn new(probe: &HealthProbe, health: Health) -> Self {
        Self {
            healthy_after: probe.healthy_threshold.max(1),
            unhealthy_after: probe.unhealthy_threshold.max(1),
            initializing: Duration::from_millis(probe.initializing_ms),
            health,
            against: 0,
        }
    }

    /// Takes a result, `age` after the checks began.
    pub fn take(&mut self, passed: bool, age: Duration) -> Health {
        let agrees = match self.health {
            Health::Healthy => passed,
            Health::Starting | Health::Unhealthy => !passed,
        };
        self.against = if agrees { 0 } else { self.against + 1 };
        let next = match self.health {
            Health::Healthy if self.against >= self.unhealthy_after => Health::Unhealthy,
            // A new one may fail for as long as it is given.
            Health::Starting if !passed && age >= self.initializing => Health::Unhealthy,
            Health::Starting | Health::Unhealthy if self.against >= self.healthy_after => {
                Health::Healthy
            }
            same => same,
        };
        if next != self.health {
            self.health = next;
            self.against = 0;
        }
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` passes, `-` fails, one a second; the verdicts as letters.
    fn judge(results: &str, first: Health) -> String {
        let probe = HealthProbe {
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            initializing_ms: 5000,
            ..HealthProbe::default()
        };
        let mut judge = Judge::new(&probe, first);
        (0u64..)
            .zip(results.chars())
            .map(|(second, result)| match judge.take(result == '+', Duration::from_secs(second)) {
                Health::Starting => 's',
                Health::Healthy => 'h',
                Health::Unhealthy => 'u',
            })
            .collect()
    }

    #[test]
    fn thresholds_are_counted_in_a_row() {
        for (results, first, expected) in [
            ("++", Health::Starting, "sh"),
            ("-+-++", Health::Starting, "ssssh"),
            ("--------", Health::Starting, "sssssuuu"),
            ("--+-", Health::Healthy, "hhhh"),
            ("---++", Health::Healthy, "hhuuh"),
            ("-+-+-+", Health::Unhealthy, "uuuuuu"),
            ("-+++++---", Health::Starting, "sshhhhhhu"),
        ] {
            assert_eq!(judge(results, first), expected, "{results}");
        }
    }
}
