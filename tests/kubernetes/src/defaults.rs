//! What Kubernetes fills in: defaults of fields, the first status, addresses of services.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    clock,
    cluster::Cluster,
    resources::ResourceType,
    status::{ApiError, Cause, Result},
};

/// Sets a field that is not there.
fn default(object: &mut Value, field: &str, value: Value) {
    let Some(fields) = object.as_object_mut() else { return };
    let there = fields.entry(field.to_owned()).or_insert(Value::Null);
    if there.is_null() || there == "" {
        *there = value;
    }
}

fn fields<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    default(object, field, json!({}));
    &mut object[field]
}

/// Metadata that every object has, if it is not there yet.
pub fn metadata(object: &mut Value) {
    let metadata = fields(object, "metadata");
    default(metadata, "uid", json!(uuid::Uuid::new_v4().to_string()));
    default(metadata, "creationTimestamp", json!(clock::stamp()));
    // Go leaves empty maps and lists out.
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|key, value| {
            let empty = value.as_object().is_some_and(Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty);
            !(empty
                && matches!(
                    key.as_str(),
                    "labels" | "annotations" | "finalizers" | "ownerReferences"
                ))
        });
    }
}

/// Whether a kind counts the versions of its spec.
pub fn has_generation(resource: &ResourceType) -> bool {
    if resource.is_custom() {
        return true;
    }
    matches!(
        resource.plural.as_str(),
        "deployments"
            | "replicasets"
            | "daemonsets"
            | "statefulsets"
            | "replicationcontrollers"
            | "jobs"
            | "cronjobs"
            | "poddisruptionbudgets"
            | "ingresses"
            | "ingressclasses"
            | "networkpolicies"
            | "customresourcedefinitions"
            | "validatingwebhookconfigurations"
            | "mutatingwebhookconfigurations"
            | "validatingadmissionpolicies"
            | "validatingadmissionpolicybindings"
            | "endpointslices"
            | "pods"
            | "priorityclasses"
            | "horizontalpodautoscalers"
    ) && !matches!(resource.plural.as_str(), "horizontalpodautoscalers")
}

/// The defaults of a kind.
pub fn apply(resource: &ResourceType, object: &mut Value) {
    if resource.is_custom() {
        structural(&resource.schema, object);
        return;
    }
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod_spec(fields(object, "spec")),
        ("", "services") => service(object),
        ("", "secrets") => secret(object),
        ("", "namespaces") => namespace(object),
        ("", "persistentvolumeclaims") => {
            default(fields(object, "spec"), "volumeMode", json!("Filesystem"));
        }
        ("", "persistentvolumes") => {
            let spec = fields(object, "spec");
            default(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
            default(spec, "volumeMode", json!("Filesystem"));
        }
        ("", "replicationcontrollers") => {
            let spec = fields(object, "spec");
            default(spec, "replicas", json!(1));
            template(spec);
        }
        ("", "endpoints") => {
            for subset in object["subsets"].as_array_mut().into_iter().flatten() {
                for port in subset["ports"].as_array_mut().into_iter().flatten() {
                    default(port, "protocol", json!("TCP"));
                }
            }
        }
        ("", "limitranges") => limit_range(object),
        ("apps", "deployments") => deployment(fields(object, "spec")),
        ("apps", "replicasets") => {
            let spec = fields(object, "spec");
            default(spec, "replicas", json!(1));
            template(spec);
        }
        ("apps", "daemonsets") => daemon_set(fields(object, "spec")),
        ("apps", "statefulsets") => stateful_set(fields(object, "spec")),
        ("batch", "jobs") => job(fields(object, "spec")),
        ("batch", "cronjobs") => {
            let spec = fields(object, "spec");
            default(spec, "concurrencyPolicy", json!("Allow"));
            default(spec, "suspend", json!(false));
            default(spec, "successfulJobsHistoryLimit", json!(3));
            default(spec, "failedJobsHistoryLimit", json!(1));
            let inner = fields(fields(spec, "jobTemplate"), "spec");
            if inner["template"].is_object() {
                job_template(inner);
            }
        }
        ("autoscaling", _) => autoscaler(resource, fields(object, "spec")),
        ("networking.k8s.io", "networkpolicies") => network_policy(fields(object, "spec")),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(object),
        ("storage.k8s.io", "storageclasses") => {
            default(object, "reclaimPolicy", json!("Delete"));
            default(object, "volumeBindingMode", json!("Immediate"));
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            default(object, "preemptionPolicy", json!("PreemptLowerPriority"));
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => definition(object),
        ("admissionregistration.k8s.io", _) => webhooks(object),
        ("discovery.k8s.io", "endpointslices") => {
            for port in object["ports"].as_array_mut().into_iter().flatten() {
                default(port, "name", json!(""));
                default(port, "protocol", json!("TCP"));
            }
        }
        ("certificates.k8s.io", _) => {
            default(
                fields(object, "spec"),
                "usages",
                json!(["digital signature", "key encipherment"]),
            );
        }
        _ => {}
    }
}

/// Defaults of a CustomResourceDefinition's schema.
fn structural(schema: &crate::schema::Schema, object: &mut Value) {
    let raw = schema.raw().clone();
    if let Some(properties) = raw["properties"].as_object() {
        if object.is_object() {
            for (name, property) in properties {
                if object.get(name).is_none()
                    && let Some(value) = property.get("default")
                {
                    object[name.as_str()] = value.clone();
                }
            }
        }
    }
    match object {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if name == "metadata" && schema.is_struct_field("apiVersion") {
                    continue;
                }
                if let Some(inner) = schema.field(name) {
                    structural(&inner, value);
                }
            }
        }
        Value::Array(entries) => {
            if let Some(items) = schema.items() {
                entries.iter_mut().for_each(|entry| structural(&items, entry));
            }
        }
        _ => {}
    }
}

fn deployment(spec: &mut Value) {
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    let strategy = fields(spec, "strategy");
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = fields(strategy, "rollingUpdate");
        default(rolling, "maxUnavailable", json!("25%"));
        default(rolling, "maxSurge", json!("25%"));
    }
    template(spec);
}

fn daemon_set(spec: &mut Value) {
    default(spec, "revisionHistoryLimit", json!(10));
    let strategy = fields(spec, "updateStrategy");
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = fields(strategy, "rollingUpdate");
        default(rolling, "maxUnavailable", json!(1));
        default(rolling, "maxSurge", json!(0));
    }
    template(spec);
}

fn stateful_set(spec: &mut Value) {
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "podManagementPolicy", json!("OrderedReady"));
    let strategy = fields(spec, "updateStrategy");
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        default(fields(strategy, "rollingUpdate"), "partition", json!(0));
    }
    let policy = fields(spec, "persistentVolumeClaimRetentionPolicy");
    default(policy, "whenDeleted", json!("Retain"));
    default(policy, "whenScaled", json!("Retain"));
    for claim in spec["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
        default(claim, "apiVersion", json!("v1"));
        default(claim, "kind", json!("PersistentVolumeClaim"));
        default(fields(claim, "spec"), "volumeMode", json!("Filesystem"));
        default(fields(claim, "status"), "phase", json!("Pending"));
    }
    template(spec);
}

fn job(spec: &mut Value) {
    let parallel = spec["parallelism"].as_i64();
    if spec["completions"].is_null() && parallel.is_none() {
        default(spec, "completions", json!(1));
    }
    default(spec, "parallelism", json!(1));
    default(spec, "backoffLimit", json!(6));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    default(
        spec,
        "podReplacementPolicy",
        json!(if spec["podFailurePolicy"].is_object() { "Failed" } else { "TerminatingOrFailed" }),
    );
    default(spec, "manualSelector", json!(false));
    template(spec);
}

fn job_template(spec: &mut Value) {
    template(spec);
}

fn autoscaler(resource: &ResourceType, spec: &mut Value) {
    default(spec, "minReplicas", json!(1));
    if resource.version == "v2" && spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        spec["metrics"] = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]);
    }
    if resource.version == "v1" {
        default(spec, "targetCPUUtilizationPercentage", json!(80));
    }
}

fn network_policy(spec: &mut Value) {
    if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        let mut kinds = vec!["Ingress"];
        if spec["egress"].as_array().is_some_and(|egress| !egress.is_empty()) {
            kinds.push("Egress");
        }
        spec["policyTypes"] = json!(kinds);
    }
    for way in ["ingress", "egress"] {
        for rule in spec[way].as_array_mut().into_iter().flatten() {
            for port in rule["ports"].as_array_mut().into_iter().flatten() {
                default(port, "protocol", json!("TCP"));
            }
        }
    }
}

fn binding(object: &mut Value) {
    default(fields(object, "roleRef"), "apiGroup", json!("rbac.authorization.k8s.io"));
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        if subject["kind"] == "User" || subject["kind"] == "Group" {
            default(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
        }
    }
}

fn webhooks(object: &mut Value) {
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        default(webhook, "failurePolicy", json!("Fail"));
        default(webhook, "matchPolicy", json!("Equivalent"));
        default(webhook, "namespaceSelector", json!({}));
        default(webhook, "objectSelector", json!({}));
        default(webhook, "timeoutSeconds", json!(10));
        for rule in webhook["rules"].as_array_mut().into_iter().flatten() {
            default(rule, "scope", json!("*"));
        }
        if webhook["clientConfig"]["service"].is_object() {
            default(&mut webhook["clientConfig"]["service"], "port", json!(443));
        }
    }
}

fn definition(object: &mut Value) {
    let spec = fields(object, "spec");
    let names = fields(spec, "names");
    if let Some(kind) = names["kind"].as_str().map(str::to_owned) {
        default(names, "singular", json!(kind.to_lowercase()));
        default(names, "listKind", json!(format!("{kind}List")));
    }
    default(fields(spec, "conversion"), "strategy", json!("None"));
}

fn secret(object: &mut Value) {
    default(object, "type", json!("Opaque"));
    // Plain texts become data, and are never given back.
    if let Some(texts) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) {
        let data = fields(object, "data");
        for (key, value) in texts.as_object().into_iter().flatten() {
            use base64::Engine;
            let text = value.as_str().unwrap_or_default();
            data[key.as_str()] = json!(base64::engine::general_purpose::STANDARD.encode(text));
        }
    }
}

fn namespace(object: &mut Value) {
    if let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) {
        let metadata = fields(object, "metadata");
        fields(metadata, "labels")["kubernetes.io/metadata.name"] = json!(name);
    }
}

fn limit_range(object: &mut Value) {
    for limit in fields(object, "spec")["limits"].as_array_mut().into_iter().flatten() {
        if limit["type"] != "Container" {
            continue;
        }
        let max = limit["max"].as_object().cloned().unwrap_or_default();
        for (resource, value) in max {
            default(fields(limit, "default"), &resource, value);
        }
        let wanted = limit["default"].as_object().cloned().unwrap_or_default();
        let min = limit["min"].as_object().cloned().unwrap_or_default();
        for (resource, value) in wanted {
            default(fields(limit, "defaultRequest"), &resource, value);
        }
        for (resource, value) in min {
            default(fields(limit, "defaultRequest"), &resource, value);
        }
    }
}

fn service(object: &mut Value) {
    let spec = fields(object, "spec");
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "type", json!("ClusterIP"));
    if spec["sessionAffinity"] == "ClientIP" {
        let config = fields(fields(spec, "sessionAffinityConfig"), "clientIP");
        default(config, "timeoutSeconds", json!(10800));
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        default(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        let target = &port["targetPort"];
        if target.is_null() || *target == json!(0) || target == "" {
            port["targetPort"] = number;
        }
    }
}

fn template(spec: &mut Value) {
    if spec["template"].is_object() {
        pod_spec(fields(&mut spec["template"], "spec"));
    }
}

/// The defaults of a pod.
pub fn pod_spec(spec: &mut Value) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec["serviceAccountName"].as_str().map(str::to_owned) {
        spec["serviceAccount"] = json!(account);
    } else if let Some(account) = spec["serviceAccount"].as_str().map(str::to_owned) {
        spec["serviceAccountName"] = json!(account);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for one in spec[list].as_array_mut().into_iter().flatten() {
            container(one);
        }
    }
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if volume[source].is_object() {
                default(&mut volume[source], "defaultMode", json!(420));
            }
        }
        if volume["hostPath"].is_object() {
            default(&mut volume["hostPath"], "type", json!(""));
        }
    }
}

fn container(one: &mut Value) {
    default(one, "terminationMessagePath", json!("/dev/termination-log"));
    default(one, "terminationMessagePolicy", json!("File"));
    default(one, "resources", json!({}));
    let image = one["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !name.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
    default(one, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
    for port in one["ports"].as_array_mut().into_iter().flatten() {
        default(port, "protocol", json!("TCP"));
    }
    for variable in one["env"].as_array_mut().into_iter().flatten() {
        let field = &mut variable["valueFrom"];
        if field.is_object() && field["fieldRef"].is_object() {
            default(&mut field["fieldRef"], "apiVersion", json!("v1"));
        }
    }
    // `variable["valueFrom"]` above makes the field where there is none.
    for variable in one["env"].as_array_mut().into_iter().flatten() {
        if let Some(fields) = variable.as_object_mut()
            && fields.get("valueFrom").is_some_and(Value::is_null)
        {
            fields.remove("valueFrom");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !one[probe].is_object() {
            if let Some(fields) = one.as_object_mut()
                && fields.get(probe).is_some_and(Value::is_null)
            {
                fields.remove(probe);
            }
            continue;
        }
        let probe = &mut one[probe];
        default(probe, "timeoutSeconds", json!(1));
        default(probe, "periodSeconds", json!(10));
        default(probe, "successThreshold", json!(1));
        default(probe, "failureThreshold", json!(3));
        if probe["httpGet"].is_object() {
            default(&mut probe["httpGet"], "path", json!("/"));
            default(&mut probe["httpGet"], "scheme", json!("HTTP"));
        }
    }
    // Requests are what the limits are, where nothing else is said.
    let limits = one["resources"]["limits"].as_object().cloned().unwrap_or_default();
    for (resource, value) in limits {
        default(fields(&mut one["resources"], "requests"), &resource, value);
    }
}

/// What the status of a new object is before any controller looks at it.
pub fn first_status(resource: &ResourceType, object: &mut Value) {
    if resource.is_custom() {
        return;
    }
    match resource.plural.as_str() {
        "pods" => object["status"] = json!({"phase": "Pending", "qosClass": qos(&object["spec"])}),
        "namespaces" => {
            object["status"] = json!({"phase": "Active"});
            object["spec"] = json!({"finalizers": ["kubernetes"]});
        }
        "persistentvolumeclaims" => object["status"] = json!({"phase": "Pending"}),
        "persistentvolumes" => object["status"] = json!({"phase": "Pending"}),
        "services" => object["status"] = json!({"loadBalancer": {}}),
        "ingresses" => object["status"] = json!({"loadBalancer": {}}),
        "deployments" | "statefulsets" | "jobs" | "cronjobs" | "resourcequotas" => {
            object["status"] = json!({});
            if resource.plural == "statefulsets" {
                object["status"] = json!({"availableReplicas": 0, "replicas": 0});
            }
        }
        "replicasets" => object["status"] = json!({"replicas": 0}),
        "daemonsets" => {
            object["status"] = json!({
                "currentNumberScheduled": 0, "desiredNumberScheduled": 0,
                "numberMisscheduled": 0, "numberReady": 0,
            });
        }
        "customresourcedefinitions" => {
            object["metadata"]["finalizers"] = json!([crate::custom::CLEANUP]);
        }
        "poddisruptionbudgets" => {
            object["status"] = json!({
                "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
            });
        }
        "horizontalpodautoscalers" => {
            object["status"] = json!({"currentMetrics": null, "desiredReplicas": 0});
        }
        _ => {}
    }
    match resource.plural.as_str() {
        "persistentvolumeclaims" => finalizer(object, "kubernetes.io/pvc-protection"),
        "persistentvolumes" => finalizer(object, "kubernetes.io/pv-protection"),
        "jobs" => job_selector(object),
        _ => {}
    }
}

fn finalizer(object: &mut Value, name: &str) {
    let mut all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !all.iter().any(|one| one == name) {
        all.push(json!(name));
    }
    object["metadata"]["finalizers"] = json!(all);
}

/// A job's pods are told from all others by the job's id.
fn job_selector(object: &mut Value) {
    if object["spec"]["manualSelector"] == true || object["spec"]["selector"].is_object() {
        return;
    }
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    object["spec"]["selector"] =
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let metadata = fields(&mut object["spec"]["template"], "metadata");
    let labels = fields(metadata, "labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        labels[key] = value.clone();
    }
}

/// The quality of service of a pod.
pub fn qos(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec[*list].as_array().into_iter().flatten())
        .collect();
    let mut some = false;
    let mut guaranteed = true;
    for container in containers {
        let resources = &container["resources"];
        for resource in ["cpu", "memory"] {
            let (request, limit) =
                (&resources["requests"][resource], &resources["limits"][resource]);
            some |= request.is_string() || limit.is_string() || request.is_number();
            guaranteed &= limit.is_string() && (request.is_null() || request == limit);
        }
    }
    match (some, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Gives services their addresses and node ports.
///
/// # Errors
/// When one that is asked for is taken or outside the range.
pub fn allocate(
    cluster: &Cluster,
    resource: &ResourceType,
    object: &mut Value,
    before: Option<&Value>,
) -> Result<()> {
    if resource.plural != "services" || !resource.group.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let kind = object["spec"]["type"].as_str().unwrap_or_default().to_owned();
    let spec = &mut object["spec"];
    if kind == "ExternalName" {
        return Ok(());
    }
    let others: Vec<Value> = cluster
        .store
        .values("", "services", None)
        .into_iter()
        .filter(|other| {
            before.is_none_or(|before| other["metadata"]["uid"] != before["metadata"]["uid"])
        })
        .collect();
    let taken: BTreeSet<String> = others
        .iter()
        .filter_map(|service| service["spec"]["clusterIP"].as_str().map(str::to_owned))
        .collect();
    let kept = before.and_then(|before| before["spec"]["clusterIP"].as_str()).unwrap_or_default();
    let wanted = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
    let about = resource.about_kind(&name);
    if wanted.is_empty() {
        let address = if kept.is_empty() { free_address(&taken) } else { kept.to_owned() };
        spec["clusterIP"] = json!(address);
        spec["clusterIPs"] = json!([address]);
    } else if wanted != "None" && wanted != kept {
        let in_range = wanted.starts_with("10.96.") && wanted.parse::<std::net::Ipv4Addr>().is_ok();
        if !in_range {
            let message = format!(
                "failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
            );
            let cause = Cause::invalid("spec.clusterIPs", &json!([wanted]), message);
            return Err(ApiError::invalid(about, &[cause]));
        }
        if taken.contains(&wanted) {
            let message =
                format!("failed to allocate IP {wanted}: provided IP is already allocated");
            let cause = Cause::invalid("spec.clusterIPs", &json!([wanted]), message);
            return Err(ApiError::invalid(about, &[cause]));
        }
        spec["clusterIPs"] = json!([wanted]);
    } else {
        spec["clusterIPs"] = json!([wanted]);
    }
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", json!("SingleStack"));
    node_ports(spec, &kind, &others, before, about)
}

fn free_address(taken: &BTreeSet<String>) -> String {
    let start = usize::from(uuid::Uuid::new_v4().into_bytes()[0]);
    (0..65_000_usize)
        .map(|step| {
            let number = 256 + (start * 251 + step) % 65_000;
            format!("10.96.{}.{}", number / 256, number % 256)
        })
        .find(|address| !taken.contains(address))
        .unwrap_or_else(|| "10.96.255.254".to_owned())
}

fn node_ports(
    spec: &mut Value,
    kind: &str,
    others: &[Value],
    before: Option<&Value>,
    about: crate::status::About,
) -> Result<()> {
    if kind != "NodePort" && kind != "LoadBalancer" {
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
        return Ok(());
    }
    let mut taken: BTreeSet<i64> = others
        .iter()
        .flat_map(|service| service["spec"]["ports"].as_array().into_iter().flatten())
        .filter_map(|port| port["nodePort"].as_i64())
        .collect();
    let old = before.map(|before| before["spec"]["ports"].clone()).unwrap_or_default();
    for (index, port) in spec["ports"].as_array_mut().into_iter().flatten().enumerate() {
        let wanted = port["nodePort"].as_i64().unwrap_or(0);
        let field = format!("spec.ports[{index}].nodePort");
        if wanted == 0 {
            let same = old.as_array().into_iter().flatten().find(|one| one["port"] == port["port"]);
            let kept = same.and_then(|one| one["nodePort"].as_i64());
            let free = kept.or_else(|| (30_000..32_768).rev().find(|port| !taken.contains(port)));
            port["nodePort"] = json!(free);
        } else if !(30_000..32_768).contains(&wanted) {
            let why =
                "provided port is not in the valid range. The range of valid ports is 30000-32767";
            return Err(ApiError::invalid(about, &[Cause::invalid(field, &json!(wanted), why)]));
        } else if taken.contains(&wanted) {
            let why = "provided port is already allocated";
            return Err(ApiError::invalid(about, &[Cause::invalid(field, &json!(wanted), why)]));
        }
        taken.extend(port["nodePort"].as_i64());
    }
    Ok(())
}
