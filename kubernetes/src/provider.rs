//! Whose Kubernetes a cluster is, guessed by what it says of itself.

/// How a distribution shows itself: in the version, in a node's provider id, or in a label.
const SIGNS: &[(&str, &str)] = &[
    ("+k3s", "K3s"),
    ("+rke2", "RKE2"),
    ("+k0s", "k0s"),
    ("-eks-", "Amazon EKS"),
    ("-gke.", "Google GKE"),
    ("+vmware", "VMware Tanzu"),
    ("-aliyun", "Alibaba ACK"),
    ("+IKS", "IBM Cloud"),
    ("kind://", "kind"),
    ("aws://", "Amazon EC2"),
    ("azure://", "Azure"),
    ("gce://", "Google Cloud"),
    ("openstack://", "OpenStack"),
    ("digitalocean://", "DigitalOcean"),
    ("hcloud://", "Hetzner Cloud"),
    ("kubernetes.azure.com/cluster", "Azure AKS"),
    ("doks.digitalocean.com/node-id", "DigitalOcean DOKS"),
    ("eks.amazonaws.com/nodegroup", "Amazon EKS"),
    ("cloud.google.com/gke-nodepool", "Google GKE"),
    ("node.openshift.io/os_id", "OpenShift"),
    ("minikube.k8s.io/name", "minikube"),
    ("microk8s.io/cluster", "MicroK8s"),
    ("kubeadm.alpha.kubernetes.io/cri-socket", "kubeadm"),
];

/// The name of the distribution, from the version (`v1.33.2+k3s1`) and what a node has: its
/// provider id, and the names of its labels and annotations. The most telling sign counts.
pub fn guess<'a>(version: &str, node: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    let node: Vec<&str> = node.into_iter().collect();
    // Labels name the service that runs a cluster; provider ids only the machines below it.
    let shows = |sign: &str| match sign {
        sign if sign.starts_with(['+', '-']) => version.contains(sign),
        sign => node.iter().any(|found| found.starts_with(sign)),
    };
    let is_machine = |sign: &str| sign.contains("://") && sign != "kind://";
    let (machines, services): (Vec<_>, Vec<_>) =
        SIGNS.iter().partition(|(sign, _)| is_machine(sign));
    services.iter().chain(&machines).find(|(sign, _)| shows(sign)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::guess;

    #[test]
    fn the_most_telling_sign_counts() {
        assert_eq!(guess("v1.33.2+k3s1", []), Some("K3s"));
        assert_eq!(guess("v1.33.1-eks-595af52", ["aws:///eu/i-1"]), Some("Amazon EKS"));
        assert_eq!(guess("v1.33.1", ["aws:///eu/i-1"]), Some("Amazon EC2"));
        let node = ["azure:///x", "kubernetes.azure.com/cluster"];
        assert_eq!(guess("v1.33.1", node), Some("Azure AKS"));
        assert_eq!(guess("v1.33.1", []), None);
    }
}
