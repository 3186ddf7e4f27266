//! The resource types that are served: the built-in ones in a table, and those that
//! CustomResourceDefinitions add.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, RwLock},
};

use k8s_openapi::{
    ListableResource, Resource,
    api::{
        admissionregistration::v1 as admissionregistration, apps::v1 as apps,
        authorization::v1 as authorization, autoscaling, batch::v1 as batch,
        certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
        discovery::v1 as discovery, events::v1 as events, networking::v1 as networking,
        node::v1 as node, policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling,
        storage::v1 as storage,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
    kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration,
    schemars::{JsonSchema, generate::SchemaSettings},
};
use serde_json::Value;

use crate::schema::{Definitions, Schema};

/// All verbs of an everyday resource, in the order that discovery has them.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Group and plural: where objects are kept, whatever version they are read in.
pub type StorageKey = (String, String);

/// A part of a resource with an address of its own.
#[derive(Debug, Clone)]
pub struct Subresource {
    /// `status`, `log`, …
    pub name: String,
    /// The kind that its address takes and gives, where it is another.
    pub group: String,
    /// The version of that kind.
    pub version: String,
    /// That kind.
    pub kind: String,
    /// What can be done there.
    pub verbs: Vec<String>,
}

/// One resource type in one version.
#[derive(Debug, Clone)]
pub struct ResourceType {
    /// The API group, empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// `Pod`.
    pub kind: String,
    /// `PodList`.
    pub list_kind: String,
    /// `pods`.
    pub plural: String,
    /// `pod`.
    pub singular: String,
    /// `po`.
    pub short_names: Vec<String>,
    /// `all`.
    pub categories: Vec<String>,
    /// Whether objects stand in namespaces.
    pub namespaced: bool,
    /// What can be done.
    pub verbs: Vec<String>,
    /// Its parts.
    pub subresources: Vec<Subresource>,
    /// Where its objects are kept.
    pub storage: StorageKey,
    /// What an object looks like.
    pub schema: Schema,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a resource type comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// It is part of Kubernetes.
    BuiltIn,
    /// A CustomResourceDefinition has it.
    Custom(Arc<CustomVersion>),
    /// Nothing is kept: a question with its answer.
    Review,
    /// metrics.k8s.io, which an extension serves.
    Metrics,
}

/// What a CustomResourceDefinition says of one of its versions.
#[derive(Debug, Default)]
pub struct CustomVersion {
    /// `additionalPrinterColumns`.
    pub columns: Vec<Value>,
    /// `subresources`.
    pub subresources: Value,
    /// `selectableFields`, as paths.
    pub selectable: Vec<String>,
    /// Whether unknown fields stay at the top.
    pub definition: String,
}

impl ResourceType {
    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// Whether the status is written at an address of its own.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Whether it is a custom resource.
    pub fn is_custom(&self) -> bool {
        matches!(self.origin, Origin::Custom(_))
    }

    /// For errors.
    pub fn about<'a>(&'a self, name: &'a str) -> crate::status::About<'a> {
        crate::status::About { group: &self.group, resource: &self.plural, name }
    }

    /// For errors about what an object says.
    pub fn about_kind<'a>(&'a self, name: &'a str) -> crate::status::About<'a> {
        crate::status::About { group: &self.group, resource: &self.kind, name }
    }

    fn verbs(mut self, verbs: &[&str]) -> Self {
        self.verbs = owned(verbs);
        self
    }

    fn short(mut self, names: &[&str]) -> Self {
        self.short_names = owned(names);
        self
    }

    fn all(mut self) -> Self {
        self.categories = vec!["all".to_owned()];
        self
    }

    fn kept_as(mut self, group: &str, plural: &str) -> Self {
        self.storage = (group.to_owned(), plural.to_owned());
        self
    }

    fn review(mut self) -> Self {
        self.verbs = owned(&["create"]);
        self.origin = Origin::Review;
        self
    }

    fn sub(mut self, name: &str, api: &str, kind: &str, verbs: &[&str]) -> Self {
        let (group, version) = split_api_version(api);
        self.subresources.push(Subresource {
            name: name.to_owned(),
            group,
            version,
            kind: kind.to_owned(),
            verbs: owned(verbs),
        });
        self
    }

    fn status(self) -> Self {
        let (api, kind) = (self.api_version(), self.kind.clone());
        self.sub("status", &api, &kind, &["get", "patch", "update"])
    }

    fn scale(self) -> Self {
        self.sub("scale", "autoscaling/v1", "Scale", &["get", "patch", "update"])
    }
}

/// `apps/v1` of a group and version.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Group and version of `apps/v1`.
pub fn split_api_version(api: &str) -> (String, String) {
    match api.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), api.to_owned()),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A scope as a value.
trait Scope {
    const NAMESPACED: bool;
}

impl Scope for k8s_openapi::NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl Scope for k8s_openapi::ClusterResourceScope {
    const NAMESPACED: bool = false;
}

struct Table {
    generator: k8s_openapi::schemars::SchemaGenerator,
    rows: Vec<(ResourceType, String)>,
}

impl Table {
    fn add<T>(&mut self, change: impl FnOnce(ResourceType) -> ResourceType)
    where
        T: ListableResource + JsonSchema,
        T::Scope: Scope,
    {
        self.row::<T>(<T::Scope as Scope>::NAMESPACED, T::LIST_KIND, change);
    }

    fn review<T>(&mut self, namespaced: bool)
    where
        T: Resource + JsonSchema,
    {
        self.row::<T>(namespaced, "", ResourceType::review);
    }

    fn row<T: Resource + JsonSchema>(
        &mut self,
        namespaced: bool,
        list_kind: &str,
        change: impl FnOnce(ResourceType) -> ResourceType,
    ) {
        self.generator.subschema_for::<T>();
        let resource = ResourceType {
            group: T::GROUP.to_owned(),
            version: T::VERSION.to_owned(),
            kind: T::KIND.to_owned(),
            list_kind: list_kind.to_owned(),
            plural: T::URL_PATH_SEGMENT.to_owned(),
            singular: T::KIND.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced,
            verbs: owned(ALL_VERBS),
            subresources: Vec::new(),
            storage: (T::GROUP.to_owned(), T::URL_PATH_SEGMENT.to_owned()),
            schema: Schema::any(),
            origin: Origin::BuiltIn,
        };
        self.rows.push((change(resource), T::schema_name().into_owned()));
    }
}

/// The built-in resources, and the schemas of all their types.
pub struct BuiltIn {
    /// In the order that discovery has them.
    pub resources: Vec<Arc<ResourceType>>,
    /// All schemas by name.
    pub definitions: Arc<Definitions>,
}

/// Made once: the schemas are a few megabytes.
pub static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(built_in);

fn built_in() -> BuiltIn {
    let mut table =
        Table { generator: SchemaSettings::openapi3().into_generator(), rows: Vec::new() };
    core_rows(&mut table);
    workload_rows(&mut table);
    other_rows(&mut table);
    review_rows(&mut table);
    // What subresources take, and what is around objects.
    table.generator.subschema_for::<autoscaling::v1::Scale>();
    table.generator.subschema_for::<policy::Eviction>();
    table.generator.subschema_for::<k8s_openapi::api::authentication::v1::TokenRequest>();
    table.generator.subschema_for::<core::Binding>();
    table.generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status>();
    table
        .generator
        .subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions>();
    let definitions =
        Arc::new(Definitions::new(table.generator.take_definitions(true).into_iter().collect()));
    let resources = table
        .rows
        .into_iter()
        .map(|(mut resource, name)| {
            resource.schema = Schema::named(&definitions, &name);
            Arc::new(resource)
        })
        .collect();
    BuiltIn { resources, definitions }
}

const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
const MODIFY: &[&str] = &["get", "patch", "update"];

fn core_rows(table: &mut Table) {
    table.add::<core::ComponentStatus>(|r| r.short(&["cs"]).verbs(&["get", "list"]));
    table.add::<core::ConfigMap>(|r| r.short(&["cm"]));
    table.add::<core::Endpoints>(|mut r| {
        r.singular = "endpoints".to_owned();
        r.short(&["ep"])
    });
    table.add::<core::Event>(|r| r.short(&["ev"]));
    table.add::<core::LimitRange>(|r| r.short(&["limits"]));
    table.add::<core::Namespace>(|r| {
        r.short(&["ns"])
            .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
            .sub("finalize", "v1", "Namespace", &["update"])
            .status()
    });
    table.add::<core::Node>(|r| {
        r.short(&["no"]).sub("proxy", "v1", "NodeProxyOptions", PROXY).status()
    });
    table.add::<core::PersistentVolumeClaim>(|r| r.short(&["pvc"]).status());
    table.add::<core::PersistentVolume>(|r| r.short(&["pv"]).status());
    table.add::<core::Pod>(|r| {
        r.short(&["po"])
            .all()
            .sub("attach", "v1", "PodAttachOptions", CONNECT)
            .sub("binding", "v1", "Binding", &["create"])
            .sub("ephemeralcontainers", "v1", "Pod", MODIFY)
            .sub("eviction", "policy/v1", "Eviction", &["create"])
            .sub("exec", "v1", "PodExecOptions", CONNECT)
            .sub("log", "v1", "Pod", &["get"])
            .sub("portforward", "v1", "PodPortForwardOptions", CONNECT)
            .sub("proxy", "v1", "PodProxyOptions", PROXY)
            .sub("resize", "v1", "Pod", MODIFY)
            .status()
    });
    table.add::<core::PodTemplate>(|r| r);
    table.add::<core::ReplicationController>(|r| r.short(&["rc"]).all().scale().status());
    table.add::<core::ResourceQuota>(|r| r.short(&["quota"]).status());
    table.add::<core::Secret>(|r| r);
    table.add::<core::ServiceAccount>(|r| {
        r.short(&["sa"]).sub("token", "authentication.k8s.io/v1", "TokenRequest", &["create"])
    });
    table.add::<core::Service>(|r| {
        r.short(&["svc"]).all().sub("proxy", "v1", "ServiceProxyOptions", PROXY).status()
    });
}

fn workload_rows(table: &mut Table) {
    table.add::<apps::ControllerRevision>(|r| r);
    table.add::<apps::DaemonSet>(|r| r.short(&["ds"]).all().status());
    table.add::<apps::Deployment>(|r| r.short(&["deploy"]).all().scale().status());
    table.add::<apps::ReplicaSet>(|r| r.short(&["rs"]).all().scale().status());
    table.add::<apps::StatefulSet>(|r| r.short(&["sts"]).all().scale().status());
    table.add::<autoscaling::v2::HorizontalPodAutoscaler>(|r| r.short(&["hpa"]).all().status());
    table.add::<autoscaling::v1::HorizontalPodAutoscaler>(|r| r.short(&["hpa"]).all().status());
    table.add::<batch::CronJob>(|r| r.short(&["cj"]).all().status());
    table.add::<batch::Job>(|r| r.all().status());
}

fn other_rows(table: &mut Table) {
    table.add::<admissionregistration::MutatingWebhookConfiguration>(|r| r);
    table.add::<admissionregistration::ValidatingAdmissionPolicy>(ResourceType::status);
    table.add::<admissionregistration::ValidatingAdmissionPolicyBinding>(|r| r);
    table.add::<admissionregistration::ValidatingWebhookConfiguration>(|r| r);
    table.add::<apiextensions::CustomResourceDefinition>(|r| r.short(&["crd", "crds"]).status());
    table.add::<apiregistration::APIService>(|r| r.status());
    table.add::<certificates::CertificateSigningRequest>(|r| {
        let (api, kind) = (r.api_version(), r.kind.clone());
        r.short(&["csr"]).sub("approval", &api, &kind, MODIFY).status()
    });
    table.add::<coordination::Lease>(|r| r);
    table.add::<discovery::EndpointSlice>(|r| r);
    table.add::<events::Event>(|r| r.short(&["ev"]).kept_as("", "events"));
    table.add::<networking::IngressClass>(|r| r);
    table.add::<networking::Ingress>(|r| r.short(&["ing"]).status());
    table.add::<networking::NetworkPolicy>(|r| r.short(&["netpol"]));
    table.add::<node::RuntimeClass>(|r| r);
    table.add::<policy::PodDisruptionBudget>(|r| r.short(&["pdb"]).status());
    table.add::<rbac::ClusterRoleBinding>(|r| r);
    table.add::<rbac::ClusterRole>(|r| r);
    table.add::<rbac::RoleBinding>(|r| r);
    table.add::<rbac::Role>(|r| r);
    table.add::<scheduling::PriorityClass>(|r| r.short(&["pc"]));
    table.add::<storage::CSIDriver>(|r| r);
    table.add::<storage::CSINode>(|r| r);
    table.add::<storage::CSIStorageCapacity>(|r| r);
    table.add::<storage::StorageClass>(|r| r.short(&["sc"]));
    table.add::<storage::VolumeAttachment>(|r| r.status());
}

fn review_rows(table: &mut Table) {
    use k8s_openapi::api::authentication::v1 as authentication;
    table.review::<authentication::SelfSubjectReview>(false);
    table.review::<authentication::TokenReview>(false);
    table.review::<authorization::LocalSubjectAccessReview>(true);
    table.review::<authorization::SelfSubjectAccessReview>(false);
    table.review::<authorization::SelfSubjectRulesReview>(false);
    table.review::<authorization::SubjectAccessReview>(false);
}

/// Everything that is served now.
#[derive(Debug, Default)]
pub struct Served {
    /// Built-in first, then custom ones by group and name.
    pub resources: Vec<Arc<ResourceType>>,
    by_path: BTreeMap<(String, String, String), Arc<ResourceType>>,
    /// Counts the changes, for what is computed from it.
    pub generation: u64,
}

impl Served {
    /// The resource at `/apis/{group}/{version}/…/{plural}`.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<ResourceType>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// The resource with that kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<ResourceType>> {
        let (group, version) = split_api_version(api_version);
        self.resources.iter().find(|r| r.group == group && r.version == version && r.kind == kind)
    }

    /// The resource whose objects are kept there, in the version that is preferred.
    pub fn of_storage(&self, key: &StorageKey) -> Option<&Arc<ResourceType>> {
        self.resources.iter().find(|r| &r.storage == key && r.group == key.0)
    }

    /// Groups with their versions, the preferred one first.
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for resource in &self.resources {
            match groups.iter_mut().find(|(group, _)| *group == resource.group) {
                Some((_, versions)) if versions.contains(&resource.version) => {}
                Some((_, versions)) => versions.push(resource.version.clone()),
                None => groups.push((resource.group.clone(), vec![resource.version.clone()])),
            }
        }
        groups
    }

    /// The resources of a group in a version.
    pub fn of_version(&self, group: &str, version: &str) -> Vec<&Arc<ResourceType>> {
        self.resources.iter().filter(|r| r.group == group && r.version == version).collect()
    }
}

/// What is served, as it changes.
#[derive(Debug, Default)]
pub struct Catalog {
    served: RwLock<Arc<Served>>,
}

impl Catalog {
    /// With the built-in resources.
    pub fn new() -> Self {
        let catalog = Self::default();
        catalog.set_others(Vec::new());
        catalog
    }

    /// What is served at this moment.
    pub fn now(&self) -> Arc<Served> {
        self.served.read().map(|served| Arc::clone(&served)).unwrap_or_default()
    }

    /// The built-in resource of that group and plural, in its first version.
    pub fn built_in(group: &str, plural: &str) -> Option<Arc<ResourceType>> {
        BUILT_IN.resources.iter().find(|r| r.group == group && r.plural == plural).cloned()
    }

    /// Puts these beside the built-in ones, instead of those that were there.
    pub fn set_others(&self, others: Vec<Arc<ResourceType>>) {
        let resources: Vec<_> = BUILT_IN.resources.iter().cloned().chain(others).collect();
        let by_path = resources
            .iter()
            .map(|r| ((r.group.clone(), r.version.clone(), r.plural.clone()), Arc::clone(r)))
            .collect();
        if let Ok(mut served) = self.served.write() {
            let generation = served.generation + 1;
            *served = Arc::new(Served { resources, by_path, generation });
        }
    }
}

/// `apps/v1, Resource=deployments`, as Go prints a resource.
pub fn api_version_resource(resource: &ResourceType) -> String {
    format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural)
}
