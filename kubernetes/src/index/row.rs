//! An object as the index keeps it.

use std::sync::Arc;

use super::{
    cell::Cell,
    pool::{Label, Owner},
};
use crate::facts::{Facts, Health};

/// An object, as small as can be: 10,000 pods take some 10 MiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace; empty where it is in none.
    pub namespace: Arc<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// When it was made, seconds since the Unix epoch.
    pub created: i64,
    /// Since when it is being deleted.
    pub deleting: Option<i64>,
    /// Its labels, in order by key.
    pub labels: Arc<[Label]>,
    /// What it belongs to.
    pub owners: Arc<[Owner]>,
    /// One for each of the type's columns.
    pub cells: Box<[Cell]>,
    /// How it fares.
    pub health: Health,
    /// Why it does not fare well.
    pub why: Option<Arc<str>>,
    /// What else is known, by kind.
    pub facts: Facts,
}

impl Row {
    /// The owner that manages it.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }

    /// The workload that it belongs to, as people know it: a pod of a Deployment belongs to a
    /// ReplicaSet, whose name is the Deployment's with the hash of the template.
    pub fn workload(&self) -> Option<(&str, &str)> {
        let owner = self.controller()?;
        if &*owner.kind == "ReplicaSet"
            && let Some(hash) = self.label("pod-template-hash")
            && let Some(name) = owner.name.strip_suffix(hash)
            && let Some(name) = name.strip_suffix('-')
        {
            return Some(("Deployment", name));
        }
        Some((&owner.kind, &owner.name))
    }

    /// It is as it should be since it was switched off, or has done its work.
    pub fn is_idle(&self) -> bool {
        self.health == Health::Healthy
            && match &self.facts {
                Facts::Pod(pod) => &*pod.phase == "Succeeded",
                Facts::Workload(workload) => {
                    workload.paused || workload.desired == 0 || workload.ended.is_some()
                }
                Facts::CronJob(cron) => cron.suspended,
                _ => false,
            }
    }

    /// How it fares, as people are told and filter by: what is idle apart, and what is not known
    /// as what works in part.
    pub fn state(&self) -> &'static str {
        match self.health {
            Health::Unknown => Health::Degraded.name(),
            Health::Healthy if self.is_idle() => "idle",
            health => health.name(),
        }
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        super::selector::label(&self.labels, key).map(|value| &**value)
    }

    /// The node that it is on, of a pod.
    pub fn node(&self) -> Option<&Arc<str>> {
        match &self.facts {
            Facts::Pod(pod) => pod.node.as_ref(),
            _ => None,
        }
    }

    /// The images of its containers.
    pub fn images(&self) -> &[Arc<str>] {
        match &self.facts {
            Facts::Pod(pod) => &pod.images,
            Facts::Workload(workload) => &workload.images,
            Facts::CronJob(cron) => &cron.images,
            _ => &[],
        }
    }
}
