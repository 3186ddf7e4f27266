//! Bodies as Protocol Buffers: what `kubectl create KIND` and other typed clients send. Only the
//! messages and fields of such commands are known; another one is refused.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>

use std::{collections::HashMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    clock,
    status::{ApiError, Result},
};

/// What the bytes begin with.
const MAGIC: &[u8] = b"k8s\0";

/// The numbers of fields in the API's messages. `s`: text, `b`: yes or no, `i`: a number, `y`:
/// bytes, `*`: a list, `%`: a map by texts, `&`: fields of the message around it, `-`: left out.
const MESSAGES: &str = "
BoundObjectReference: 1 kind s, 2 apiVersion s, 3 name s, 4 uid s
ClusterRole: 1 metadata ObjectMeta, 2 rules *PolicyRule
ClusterRoleBinding: 1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef
ConfigMap: 1 metadata ObjectMeta, 2 data %s, 3 binaryData %y, 4 immutable b
Container: 1 name s, 2 image s, 3 command *s, 4 args *s, 5 workingDir s, 6 ports *ContainerPort, 7 env *EnvVar, 8 resources ResourceRequirements, 13 terminationMessagePath s, 14 imagePullPolicy s, 16 stdin b, 17 stdinOnce b, 18 tty b, 20 terminationMessagePolicy s, 24 restartPolicy s
ContainerPort: 1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s
CronJob: 1 metadata ObjectMeta, 2 spec CronJobSpec, 3 status -
CronJobSpec: 1 schedule s, 2 startingDeadlineSeconds i, 3 concurrencyPolicy s, 4 suspend b, 5 jobTemplate JobTemplateSpec, 6 successfulJobsHistoryLimit i, 7 failedJobsHistoryLimit i, 8 timeZone s
CrossVersionObjectReference: 1 kind s, 2 name s, 3 apiVersion s
DeleteOptions: 1 gracePeriodSeconds i, 2 preconditions Preconditions, 3 orphanDependents b, 4 propagationPolicy s, 5 dryRun *s, 6 ignoreStoreReadErrorWithClusterBreakingPotential b
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status -
DeploymentSpec: 1 replicas i, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, 5 minReadySeconds i, 6 revisionHistoryLimit i, 7 paused b, 9 progressDeadlineSeconds i
DeploymentStrategy: 1 type s, 2 rollingUpdate RollingUpdateDeployment
EnvVar: 1 name s, 2 value s
Eviction: 1 metadata ObjectMeta, 2 deleteOptions DeleteOptions
HTTPIngressPath: 1 path s, 2 backend IngressBackend, 3 pathType s
HTTPIngressRuleValue: 1 paths *HTTPIngressPath
HorizontalPodAutoscaler: 1 metadata ObjectMeta, 2 spec HorizontalPodAutoscalerSpec, 3 status -
HorizontalPodAutoscalerSpec: 1 scaleTargetRef CrossVersionObjectReference, 2 minReplicas i, 3 maxReplicas i, 4 targetCPUUtilizationPercentage i
Ingress: 1 metadata ObjectMeta, 2 spec IngressSpec, 3 status -
IngressBackend: 3 resource TypedLocalObjectReference, 4 service IngressServiceBackend
IngressRule: 1 host s, 2 - &IngressRuleValue
IngressRuleValue: 1 http HTTPIngressRuleValue
IngressServiceBackend: 1 name s, 2 port ServiceBackendPort
IngressSpec: 1 defaultBackend IngressBackend, 2 tls *IngressTLS, 3 rules *IngressRule, 4 ingressClassName s
IngressTLS: 1 hosts *s, 2 secretName s
Job: 1 metadata ObjectMeta, 2 spec JobSpec, 3 status -
JobSpec: 1 parallelism i, 2 completions i, 3 activeDeadlineSeconds i, 4 selector LabelSelector, 5 manualSelector b, 6 template PodTemplateSpec, 7 backoffLimit i, 8 ttlSecondsAfterFinished i, 9 completionMode s, 10 suspend b, 12 backoffLimitPerIndex i, 13 maxFailedIndexes i, 14 podReplacementPolicy s, 15 managedBy s
JobTemplateSpec: 1 metadata ObjectMeta, 2 spec JobSpec
LabelSelector: 1 matchLabels %s, 2 matchExpressions *LabelSelectorRequirement
LabelSelectorRequirement: 1 key s, 2 operator s, 3 values *s
LocalObjectReference: 1 name s
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status -
NamespaceSpec: 1 finalizers *s
NonResourceAttributes: 1 path s, 2 verb s
ObjectMeta: 1 name s, 2 generateName s, 3 namespace s, 4 selfLink s, 5 uid s, 6 resourceVersion s, 7 generation i, 8 creationTimestamp time, 9 deletionTimestamp time, 10 deletionGracePeriodSeconds i, 11 labels %s, 12 annotations %s, 13 ownerReferences *OwnerReference, 14 finalizers *s
ObjectReference: 1 kind s, 2 namespace s, 3 name s, 4 uid s, 5 apiVersion s, 6 resourceVersion s, 7 fieldPath s
OwnerReference: 1 kind s, 3 name s, 4 uid s, 5 apiVersion s, 6 controller b, 7 blockOwnerDeletion b
Pod: 1 metadata ObjectMeta, 2 spec PodSpec, 3 status -
PodDisruptionBudget: 1 metadata ObjectMeta, 2 spec PodDisruptionBudgetSpec, 3 status -
PodDisruptionBudgetSpec: 1 minAvailable either, 2 selector LabelSelector, 3 maxUnavailable either, 4 unhealthyPodEvictionPolicy s
PodSpec: 2 containers *Container, 3 restartPolicy s, 4 terminationGracePeriodSeconds i, 5 activeDeadlineSeconds i, 6 dnsPolicy s, 7 nodeSelector %s, 8 serviceAccountName s, 9 serviceAccount s, 10 nodeName s, 11 hostNetwork b, 12 hostPID b, 13 hostIPC b, 15 imagePullSecrets *LocalObjectReference, 16 hostname s, 17 subdomain s, 19 schedulerName s, 20 initContainers *Container, 21 automountServiceAccountToken b, 22 tolerations *Toleration, 24 priorityClassName s, 25 priority i, 27 shareProcessNamespace b, 29 runtimeClassName s, 30 enableServiceLinks b, 31 preemptionPolicy s, 32 overhead %quantity, 35 setHostnameAsFQDN b, 37 hostUsers b, 40 resources ResourceRequirements, 41 hostnameOverride s
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
PolicyRule: 1 verbs *s, 2 apiGroups *s, 3 resources *s, 4 resourceNames *s, 5 nonResourceURLs *s
Preconditions: 1 uid s, 2 resourceVersion s
PriorityClass: 1 metadata ObjectMeta, 2 value i, 3 globalDefault b, 4 description s, 5 preemptionPolicy s
ResourceAttributes: 1 namespace s, 2 verb s, 3 group s, 4 version s, 5 resource s, 6 subresource s, 7 name s
ResourceQuota: 1 metadata ObjectMeta, 2 spec ResourceQuotaSpec, 3 status -
ResourceQuotaSpec: 1 hard %quantity, 2 scopes *s
ResourceRequirements: 1 limits %quantity, 2 requests %quantity
Role: 1 metadata ObjectMeta, 2 rules *PolicyRule
RoleBinding: 1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef
RoleRef: 1 apiGroup s, 2 kind s, 3 name s
RollingUpdateDeployment: 1 maxUnavailable either, 2 maxSurge either
Secret: 1 metadata ObjectMeta, 2 data %y, 3 type s, 4 stringData %s, 5 immutable b
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SelfSubjectAccessReviewSpec, 3 status -
SelfSubjectAccessReviewSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes
SelfSubjectReview: 1 metadata ObjectMeta, 2 status -
SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec SelfSubjectRulesReviewSpec, 3 status -
SelfSubjectRulesReviewSpec: 1 namespace s
Service: 1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status -
ServiceAccount: 1 metadata ObjectMeta, 2 secrets *ObjectReference, 3 imagePullSecrets *LocalObjectReference, 4 automountServiceAccountToken b
ServiceBackendPort: 1 name s, 2 number i
ServicePort: 1 name s, 2 protocol s, 3 port i, 4 targetPort either, 5 nodePort i, 6 appProtocol s
ServiceSpec: 1 ports *ServicePort, 2 selector %s, 3 clusterIP s, 4 type s, 5 externalIPs *s, 7 sessionAffinity s, 8 loadBalancerIP s, 9 loadBalancerSourceRanges *s, 10 externalName s, 11 externalTrafficPolicy s, 12 healthCheckNodePort i, 13 publishNotReadyAddresses b, 17 ipFamilyPolicy s, 18 clusterIPs *s, 19 ipFamilies *s, 20 allocateLoadBalancerNodePorts b, 21 loadBalancerClass s, 22 internalTrafficPolicy s, 23 trafficDistribution s
Subject: 1 kind s, 2 apiGroup s, 3 name s, 4 namespace s
TokenRequest: 1 metadata ObjectMeta, 2 spec TokenRequestSpec, 3 status -
TokenRequestSpec: 1 audiences *s, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds i
Toleration: 1 key s, 2 operator s, 3 value s, 4 effect s, 5 tolerationSeconds i
TypedLocalObjectReference: 1 apiGroup s, 2 kind s, 3 name s
";

/// The kinds that have messages here, by their versions.
const KINDS: &[(&str, &[&str])] = &[
    (
        "v1",
        &["ConfigMap", "Namespace", "Pod", "ResourceQuota", "Secret", "Service", "ServiceAccount"],
    ),
    ("apps/v1", &["Deployment"]),
    ("authentication.k8s.io/v1", &["SelfSubjectReview", "TokenRequest"]),
    ("authorization.k8s.io/v1", &["SelfSubjectAccessReview", "SelfSubjectRulesReview"]),
    ("autoscaling/v1", &["HorizontalPodAutoscaler"]),
    ("batch/v1", &["CronJob", "Job"]),
    ("networking.k8s.io/v1", &["Ingress"]),
    ("policy/v1", &["Eviction", "PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io/v1", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("scheduling.k8s.io/v1", &["PriorityClass"]),
];

/// A field of a message.
struct Field {
    name: &'static str,
    kind: &'static str,
}

static FIELDS: LazyLock<HashMap<&'static str, HashMap<u64, Field>>> = LazyLock::new(|| {
    let messages = MESSAGES.lines().filter_map(|line| line.split_once(": "));
    let fields = |text: &'static str| -> HashMap<u64, Field> {
        let fields = text.split(", ").filter_map(|field| {
            let mut words = field.split(' ');
            let number = words.next()?.parse().ok()?;
            Some((number, Field { name: words.next()?, kind: words.next()? }))
        });
        fields.collect()
    };
    messages.map(|(name, text)| (name, fields(text))).collect()
});

/// The object in a body.
///
/// # Errors
/// When it is no message, or one that is not known here.
pub fn value(bytes: &[u8]) -> Result<Value> {
    let wrong = |why: String| ApiError::bad_request(format!("protobuf: {why}"));
    let mut envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| wrong("provided data does not appear to be a protobuf message".into()))?;
    let (mut of, mut raw): (&[u8], &[u8]) = (&[], &[]);
    while let Some((number, part)) = next(&mut envelope).map_err(wrong)? {
        match (number, part) {
            (1, Part::Bytes(bytes)) => of = bytes,
            (2, Part::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut version, mut kind) = (String::new(), String::new());
    while let Some((number, part)) = next(&mut of).map_err(wrong)? {
        match number {
            1 => version = part.text().map_err(wrong)?,
            2 => kind = part.text().map_err(wrong)?,
            _ => {}
        }
    }
    let is_known = kind == "DeleteOptions"
        || KINDS.iter().any(|(of, kinds)| *of == version && kinds.contains(&&*kind));
    if !is_known {
        return Err(ApiError::unsupported_media_type("application/json, application/yaml"));
    }
    let mut object = message(&kind, raw).map_err(wrong)?;
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    Ok(object)
}

/// What stands in a field on the wire.
#[derive(Clone, Copy)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Part<'a> {
    fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("a number where a message should be".to_owned()),
        }
    }

    fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("bytes where a number should be".to_owned()),
        }
    }

    fn text(self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "text that is no UTF-8".to_owned())
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes the next field off a message.
fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<(u64, Part<'a>)>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    field(bytes).map(Some).ok_or_else(|| "unexpected EOF".to_owned())
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Part<'a>)> {
    let tag = varint(bytes)?;
    let part = match tag & 7 {
        0 => Part::Number(varint(bytes)?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let whole: &'a [u8] = bytes;
            let (content, rest) = whole.split_at_checked(length)?;
            *bytes = rest;
            Part::Bytes(content)
        }
        _ => return None,
    };
    Some((tag >> 3, part))
}

fn message(name: &str, mut bytes: &[u8]) -> Result<Value, String> {
    let fields = FIELDS.get(name).ok_or_else(|| format!("no message {name} is known"))?;
    let mut object = Map::new();
    while let Some((number, part)) = next(&mut bytes)? {
        let Some(field) = fields.get(&number) else {
            return Err(format!("field {number} of {name} is not known here"));
        };
        if let Some(kind) = field.kind.strip_prefix('*') {
            let entries = object.entry(field.name).or_insert_with(|| json!([]));
            if let (Value::Array(entries), Some(entry)) = (entries, one(kind, part)?) {
                entries.push(entry);
            }
        } else if let Some(kind) = field.kind.strip_prefix('%') {
            let (key, value) = entry(kind, part.bytes()?)?;
            object.entry(field.name).or_insert_with(|| json!({}))[key] = value;
        } else if let Some(kind) = field.kind.strip_prefix('&') {
            if let Value::Object(inner) = message(kind, part.bytes()?)? {
                object.extend(inner);
            }
        } else if let Some(value) = one(field.kind, part)?
            // Go sends texts that are not there as empty ones.
            && value != ""
        {
            object.insert(field.name.to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

/// An entry of a map.
fn entry(kind: &str, mut bytes: &[u8]) -> Result<(String, Value), String> {
    let (mut key, mut value) = (String::new(), json!(""));
    while let Some((number, part)) = next(&mut bytes)? {
        match number {
            1 => key = part.text()?,
            _ => value = one(kind, part)?.unwrap_or_default(),
        }
    }
    Ok((key, value))
}

/// The value of a field; nothing where it stands for one that is not there.
fn one(kind: &str, part: Part) -> Result<Option<Value>, String> {
    Ok(Some(match kind {
        "-" => return Ok(None),
        "s" => json!(part.text()?),
        "b" => json!(part.number()? != 0),
        "i" => json!(part.number()?.cast_signed()),
        "y" => json!(STANDARD.encode(part.bytes()?)),
        "quantity" => {
            let mut bytes = part.bytes()?;
            let text = next(&mut bytes)?.map(|(_, part)| part.text()).transpose()?;
            json!(text.unwrap_or_default())
        }
        "time" => {
            let mut bytes = part.bytes()?;
            let Some((1, seconds)) = next(&mut bytes)? else { return Ok(None) };
            let at = OffsetDateTime::from_unix_timestamp(seconds.number()?.cast_signed());
            json!(clock::seconds(at.map_err(|error| error.to_string())?))
        }
        "either" => either(part.bytes()?)?,
        name => message(name, part.bytes()?)?,
    }))
}

/// A number or a text.
fn either(mut bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    while let Some((field, part)) = next(&mut bytes)? {
        match field {
            1 => is_text = part.number()? == 1,
            2 => number = part.number()?.cast_signed(),
            _ => text = part.text()?,
        }
    }
    Ok(if is_text { json!(text) } else { json!(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with bytes.
    fn put(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let of = [put(1, version.as_bytes()), put(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), put(1, &of), put(2, raw), put(3, b""), put(4, b"")].concat()
    }

    #[test]
    fn objects_are_read_by_the_table() {
        let labels = put(11, &[put(1, b"a"), put(2, b"b")].concat());
        let metadata = [put(1, b"one"), put(3, b""), put(8, b""), labels].concat();
        let port = [
            &put(2, b"TCP")[..],
            &[3 << 3, 80],
            &put(4, &[8, 1, 16, 0, 26, 4, b'h', b't', b't', b'p']),
        ]
        .concat();
        let raw = [put(1, &metadata), put(2, &put(1, &port)), put(3, b"")].concat();
        assert_eq!(
            value(&body("v1", "Service", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "one", "labels": { "a": "b" } },
                "spec": { "ports": [{ "protocol": "TCP", "port": 80, "targetPort": "http" }] },
            })
        );
        let secret = put(2, &[put(1, b"k"), put(2, b"v")].concat());
        assert_eq!(value(&body("v1", "Secret", &secret)).unwrap()["data"]["k"], "dg==");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(value(b"{}").unwrap_err().code, 400);
        assert_eq!(value(&body("v1", "Node", b"")).unwrap_err().code, 415);
        assert_eq!(
            value(&body("autoscaling/v2", "HorizontalPodAutoscaler", b"")).unwrap_err().code,
            415
        );
        assert_eq!(value(&body("v1", "Secret", &put(9, b""))).unwrap_err().code, 400);
        assert_eq!(value(&body("v1", "Secret", &[0x0a, 9])).unwrap_err().code, 400);
    }

    #[test]
    fn every_message_that_is_named_is_there() {
        for (name, fields) in FIELDS.iter() {
            for field in fields.values() {
                let kind = field.kind.trim_start_matches(['*', '%', '&']);
                let is_plain =
                    ["-", "s", "b", "i", "y", "quantity", "time", "either"].contains(&kind);
                assert!(is_plain || FIELDS.contains_key(kind), "{name} {} {kind}", field.name);
            }
        }
        for kind in KINDS.iter().flat_map(|(_, kinds)| *kinds) {
            assert!(FIELDS.contains_key(kind), "{kind}");
        }
    }
}
