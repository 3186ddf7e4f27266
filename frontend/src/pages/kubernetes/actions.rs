//! What can be done with an object, by its kind.

use drover_api::{ActionDone, ObjectAction, Permission, ResourceRow, ResourceType};
use leptos::prelude::*;
use serde_json::Value;

use super::{Kube, edit::has_form, forward::Forward, list::change, split_type, types::may};
use crate::{
    api,
    components::*,
    i18n::{fill, kubernetes, t},
    icons::Glyph,
    states::Tone,
};

/// An object that something is done with.
#[derive(Clone, PartialEq)]
pub(super) struct Target {
    pub type_id: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

impl Target {
    fn api(&self, kube: Kube) -> String {
        kube.object_api(&self.type_id, self.namespace.as_deref(), &self.name)
    }

    /// Does something, and says what it has led to.
    pub(super) fn act(&self, kube: Kube, action: ObjectAction, done: Callback<()>) {
        let request = api::post(format!("{}/actions", self.api(kube)), &action);
        change(request, move |answer: ActionDone| told(kube, answer, done));
    }

    fn called(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// Says what an action has led to, with a link to its operation if it goes on.
pub(super) fn told(kube: Kube, answer: ActionDone, done: Callback<()>) {
    match answer.operation_id {
        Some(id) => {
            let href = kube.env.path(&format!("operations/{id}"));
            use_toasts().success_link(answer.message, href, kubernetes().see_progress);
        }
        None => use_toasts().success(answer.message),
    }
    done.run(());
}

/// Dialogs that a page's actions open.
#[derive(Clone, Copy)]
pub(super) struct Dialogs {
    pub scale: RwSignal<bool>,
    pub drain: RwSignal<bool>,
    pub debug: RwSignal<bool>,
    pub delete: RwSignal<bool>,
    pub forward: RwSignal<bool>,
}

impl Dialogs {
    pub(super) fn new() -> Self {
        let shut = || RwSignal::new(false);
        Self { scale: shut(), drain: shut(), debug: shut(), delete: shut(), forward: shut() }
    }
}

/// Kinds whose rollout has revisions.
pub(super) fn rolls_out(type_id: &str) -> bool {
    matches!(type_id, "deployments.apps" | "statefulsets.apps" | "daemonsets.apps")
}

/// Kinds that stand for pods.
pub(super) fn has_pods(type_id: &str) -> bool {
    rolls_out(type_id)
        || matches!(
            type_id,
            "replicasets.apps" | "jobs.batch" | "services" | "replicationcontrollers"
        )
}

fn scales(type_id: &str) -> bool {
    matches!(
        type_id,
        "deployments.apps" | "statefulsets.apps" | "replicasets.apps" | "replicationcontrollers"
    )
}

/// The actions of an object's own page. `verbs` is what the caller may do with it.
pub(super) fn of_object(
    kube: Kube,
    target: &Target,
    object: &Value,
    verbs: &[String],
    dialogs: Dialogs,
    done: Callback<()>,
) -> Vec<MenuItem> {
    let words = kubernetes();
    let can = |verb: &str| verbs.iter().any(|other| other == verb);
    let patch = can("patch") || can("update");
    let act = |glyph: Glyph, label: &'static str, action: ObjectAction| {
        let target = target.clone();
        MenuItem::action(glyph, label, move || target.act(kube, action.clone(), done))
            .disabled_if(!patch)
    };
    let opens = |glyph: Glyph, label: &'static str, open: RwSignal<bool>| {
        MenuItem::action(glyph, label, move || open.set(true))
    };
    let is = |pointer: &str| object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
    let mut items = Vec::new();
    let id = target.type_id.as_str();
    if matches!(id, "services" | "pods") {
        let may = kube.env.may(Permission::Deploy);
        items.push(opens(Glyph::Globe, words.forward, dialogs.forward).disabled_if(!may));
    }
    if scales(id) {
        items.push(
            opens(Glyph::UpDown, words.scale, dialogs.scale).disabled_if(!(patch || can("scale"))),
        );
    }
    if rolls_out(id) {
        items.push(act(Glyph::Restart, words.restart, ObjectAction::Restart));
    }
    match id {
        "deployments.apps" if is("/spec/paused") => {
            items.push(act(Glyph::Play, words.resume, ObjectAction::Resume));
        }
        "deployments.apps" => items.push(act(Glyph::Pause, words.pause, ObjectAction::Pause)),
        "cronjobs.batch" => items.push(act(Glyph::Play, words.run_now, ObjectAction::Run)),
        "nodes" => {
            items.push(match is("/spec/unschedulable") {
                true => act(Glyph::Play, words.uncordon, ObjectAction::Uncordon),
                false => act(Glyph::Pause, words.cordon, ObjectAction::Cordon),
            });
            items.push(opens(Glyph::Drain, words.drain, dialogs.drain).disabled_if(!patch));
        }
        "pods" => {
            let debug = opens(Glyph::Terminal, words.debug, dialogs.debug);
            items.push(debug.disabled_if(!can("debug")));
            let evict = act(Glyph::Drain, words.evict, ObjectAction::Evict);
            items.push(evict.disabled_if(!can("evict")));
        }
        _ => {}
    }
    if matches!(id, "cronjobs.batch" | "jobs.batch") {
        items.push(match is("/spec/suspend") {
            true => act(Glyph::Play, words.unsuspend, ObjectAction::Unsuspend),
            false => act(Glyph::Pause, words.suspend, ObjectAction::Suspend),
        });
    }
    if !items.is_empty() {
        items.push(MenuItem::Separator);
    }
    items.push(
        MenuItem::danger(Glyph::Trash, t().common.delete, move || dialogs.delete.set(true))
            .disabled_if(!can("delete")),
    );
    items
}

/// What can be done from a row of a list: what needs no more than a click, and deleting.
pub(super) fn of_row(
    kube: Kube,
    of: &ResourceType,
    row: &ResourceRow,
    done: Callback<()>,
) -> Vec<MenuItem> {
    let words = kubernetes();
    let target = Target {
        type_id: of.id.clone(),
        kind: of.kind.clone(),
        namespace: row.namespace.clone(),
        name: row.name.clone(),
    };
    let page = kube.object_page(&of.id, row.namespace.as_deref(), &row.name);
    let tab = |glyph, label: &'static str, tab: &str| {
        MenuItem::link(glyph, label, format!("{page}?tab={tab}"))
    };
    let mut items = vec![tab(Glyph::Edit, words.edit_yaml, "yaml")];
    if has_form(&of.id) {
        items.insert(0, tab(Glyph::Edit, words.edit, "edit"));
    }
    if of.id == "pods" || has_pods(&of.id) {
        items.push(tab(Glyph::Audit, words.logs, "logs"));
    }
    if of.id == "pods" {
        items.push(tab(Glyph::Terminal, words.shell, "shell"));
    }
    let patch = may(of, "patch") || may(of, "update");
    let act = |glyph: Glyph, label: &'static str, action: ObjectAction| {
        let target = target.clone();
        MenuItem::action(glyph, label, move || target.act(kube, action.clone(), done))
            .disabled_if(!patch)
    };
    if rolls_out(&of.id) {
        items.push(act(Glyph::Restart, words.restart, ObjectAction::Restart));
    }
    if of.id == "cronjobs.batch" {
        items.push(act(Glyph::Play, words.run_now, ObjectAction::Run));
    }
    items.push(MenuItem::Separator);
    items.push(
        MenuItem::danger(Glyph::Trash, t().common.delete, move || {
            let target = target.clone();
            let title = fill(words.delete_title, &[("name", &target.name)]);
            Confirm::new(title, goes_with(&target.type_id)).names(vec![target.called()]).ask(
                t().common.delete,
                move || {
                    let request = api::delete(target.api(kube));
                    async move {
                        request.done().await?;
                        done.run(());
                        Ok(())
                    }
                },
            );
        })
        .disabled_if(!may(of, "delete")),
    );
    items
}

/// What else goes when an object of a type is deleted.
fn goes_with(type_id: &str) -> &'static str {
    let words = kubernetes();
    match split_type(type_id) {
        ("namespaces", "") => words.delete_namespace_text,
        ("persistentvolumeclaims", "") => words.delete_claim_text,
        ("customresourcedefinitions", _) => words.delete_crd_text,
        ("deployments" | "daemonsets" | "replicasets", _) => words.delete_workload_text,
        ("statefulsets", _) => words.delete_stateful_text,
        ("jobs" | "cronjobs", _) => words.delete_job_text,
        ("pods", "") => words.delete_pod_text,
        _ => words.delete_text,
    }
}

/// The dialogs of an object's page.
#[component]
pub(super) fn ObjectDialogs(
    kube: Kube,
    target: Target,
    dialogs: Dialogs,
    /// The object as it is now.
    object: Signal<Value>,
    /// After something was done.
    #[prop(into)]
    done: Callback<()>,
    /// After it was deleted.
    #[prop(into)]
    gone: Callback<()>,
) -> impl IntoView {
    let words = kubernetes();
    let title = |text: &'static str| fill(text, &[("name", &target.name)]);
    let (scale, drain, debug, delete, forward) = (
        title(words.scale_title),
        title(words.drain_title),
        title(words.debug_title),
        title(words.delete_title),
        title(words.forward_title),
    );
    let target = StoredValue::new(target);
    view! {
        <Dialog open=dialogs.scale title=scale>
            <Scale kube=kube target=target.get_value() replicas=replicas(&object.get_untracked()) open=dialogs.scale done=done />
        </Dialog>
        <Dialog open=dialogs.drain title=drain>
            <Drain kube=kube target=target.get_value() open=dialogs.drain done=done />
        </Dialog>
        <Dialog open=dialogs.debug title=debug>
            <Debug kube=kube target=target.get_value() containers=containers(&object.get_untracked()) open=dialogs.debug done=done />
        </Dialog>
        <Dialog open=dialogs.forward title=forward>
            <Forward kube=kube target=target.get_value() object=object.get_untracked() />
        </Dialog>
        <Dialog open=dialogs.delete title=delete>
            <Delete kube=kube target=target.get_value() open=dialogs.delete gone=gone />
        </Dialog>
    }
    .into_any()
}

fn replicas(object: &Value) -> u64 {
    object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

/// The names of a pod's containers.
pub(super) fn containers(object: &Value) -> Vec<String> {
    ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"]
        .iter()
        .filter_map(|pointer| object.pointer(pointer)?.as_array())
        .flatten()
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect()
}

#[component]
fn Scale(
    kube: Kube,
    target: Target,
    replicas: u64,
    open: RwSignal<bool>,
    done: Callback<()>,
) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let wanted = RwSignal::new(replicas.to_string());
    let path = format!("{}/actions", target.api(kube));
    let submit = move |()| {
        let Ok(replicas) = wanted.get_untracked().trim().parse::<u32>() else {
            return form.fail_field("replicas", words.replicas_bad);
        };
        let request = api::post(path.clone(), &ObjectAction::Scale { replicas });
        form.submit(
            move || request.json::<ActionDone>(),
            move |answer| {
                open.set(false);
                told(kube, answer, done);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=words.replicas value=wanted form=form name="replicas" kind="number" help=words.replicas_help focus=true />
            <FormActions form=form label=words.scale on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn Drain(kube: Kube, target: Target, open: RwSignal<bool>, done: Callback<()>) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let (local, force) = (RwSignal::new(false), RwSignal::new(false));
    let minutes = RwSignal::new("10".to_owned());
    let path = format!("{}/actions", target.api(kube));
    let submit = move |()| {
        let Ok(minutes) = minutes.get_untracked().trim().parse::<u32>() else {
            return form.fail_field("timeout_seconds", words.minutes_bad);
        };
        let action = ObjectAction::Drain {
            delete_local_data: local.get_untracked(),
            force: force.get_untracked(),
            timeout_seconds: Some(minutes.saturating_mul(60)),
        };
        let request = api::post(path.clone(), &action);
        form.submit(
            move || request.json::<ActionDone>(),
            move |answer| {
                open.set(false);
                told(kube, answer, done);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <p class="muted">{words.drain_text}</p>
            <Switch label=words.drain_local checked=local help=words.drain_local_help />
            <Switch label=words.drain_force checked=force help=words.drain_force_help />
            <TextField label=words.drain_minutes value=minutes form=form name="timeout_seconds" kind="number" unit=words.minutes />
            <FormActions form=form label=words.drain look=Look::Danger on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn Debug(
    kube: Kube,
    target: Target,
    containers: Vec<String>,
    open: RwSignal<bool>,
    done: Callback<()>,
) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let image = RwSignal::new("busybox:1.36".to_owned());
    let of = RwSignal::new(containers.first().cloned().unwrap_or_default());
    let options: Vec<_> = std::iter::once((String::new(), t().common.none.to_owned()))
        .chain(containers.into_iter().map(|name| (name.clone(), name)))
        .collect();
    let path = format!("{}/actions", target.api(kube));
    let submit = move |()| {
        let action = ObjectAction::Debug {
            image: image.get_untracked().trim().to_owned(),
            target: Some(of.get_untracked()).filter(|name| !name.is_empty()),
        };
        let request = api::post(path.clone(), &action);
        form.submit(
            move || request.json::<ActionDone>(),
            move |answer| {
                open.set(false);
                told(kube, answer, done);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <p class="muted">{words.debug_text}</p>
            <TextField label=words.image value=image form=form name="image" mono=true focus=true />
            <SelectField label=words.debug_target value=of options=options form=form name="target" help=words.debug_target_help />
            <FormActions form=form label=words.debug_start on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn Delete(kube: Kube, target: Target, open: RwSignal<bool>, gone: Callback<()>) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let propagation = RwSignal::new("background".to_owned());
    let typed = RwSignal::new(String::new());
    let heavy = matches!(target.type_id.as_str(), "namespaces" | "persistentvolumes")
        || target.type_id.starts_with("customresourcedefinitions");
    let owns = has_pods(&target.type_id) && target.type_id != "services"
        || target.type_id == "cronjobs.batch";
    let wanted = target.name.clone();
    let blocked = Signal::derive(move || heavy && typed.with(|typed| *typed != wanted));
    let path = target.api(kube);
    let submit = move |()| {
        if blocked.get_untracked() {
            return;
        }
        let mut request = api::delete(path.clone());
        if owns {
            request = request.query("propagation", propagation.get_untracked());
        }
        form.submit(
            move || request.done(),
            move |()| {
                open.set(false);
                gone.run(());
            },
        );
    };
    let choices = [
        ("background", words.background, words.background_help),
        ("foreground", words.foreground, words.foreground_help),
        ("orphan", words.orphan, words.orphan_help),
    ]
    .map(|(key, label, help)| (key.to_owned(), label.to_owned(), help.to_owned()));
    let text = goes_with(&target.type_id);
    view! {
        <FormView form=form on_submit=submit>
            <ul class="going"><li>{target.called()}</li></ul>
            <p class="muted">{text}</p>
            {owns.then(|| view! { <Choices label=words.propagation value=propagation options=choices.into() /> })}
            {heavy.then(|| {
                let label = fill(t().common.type_to_confirm, &[("name", &target.name)]);
                view! {
                    <Notice tone=Tone::Warn>{t().common.goes_for_good}</Notice>
                    <TextField label=label value=typed mono=true focus=true />
                }
            })}
            <FormActions form=form label=t().common.delete look=Look::Danger disabled=blocked on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
