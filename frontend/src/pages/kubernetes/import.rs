//! A cluster is brought in: by its kubeconfig, or by an agent in it.

use drover_api::{
    CheckKubeconfig, ImportCluster, KubeconfigCheck, KubeconfigContext, KubernetesCluster,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::use_navigate;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use super::clusters::cluster_page;
use crate::{
    api,
    components::*,
    i18n::{clusters, fill, t},
    icons::{Glyph, Icon},
    remote::{Remote, settled},
    states::Tone,
};

/// The page.
#[component]
pub fn ImportClusterPage() -> impl IntoView {
    let words = clusters();
    let way = RwSignal::new("kubeconfig".to_owned());
    let ways = [
        ("kubeconfig", words.way_kubeconfig, words.way_kubeconfig_text),
        ("agent", words.way_agent, words.way_agent_text),
    ]
    .map(|(key, label, help)| (key.to_owned(), label.to_owned(), help.to_owned()));
    view! {
        <Page title=words.import sub=words.import_text narrow=true crumbs=vec![("/admin/clusters".to_owned(), words.title.to_owned())]>
            <Card><Choices label=words.way value=way options=ways.into() /></Card>
            {move || match way.get().as_str() {
                "agent" => view! { <ByAgent /> }.into_any(),
                _ => view! { <ByKubeconfig /> }.into_any(),
            }}
        </Page>
    }
}

#[component]
fn ByAgent() -> impl IntoView {
    let words = clusters();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let navigate = use_navigate();
    let submit = move |()| {
        let input = ImportCluster {
            name: name.get_untracked().trim().to_owned(),
            kubeconfig: None,
            context: None,
            allow_private_address: false,
        };
        let request = api::post("kubernetes/clusters", &input);
        let navigate = navigate.clone();
        form.submit(
            move || request.json::<KubernetesCluster>(),
            move |made| {
                navigate(&cluster_page(made.id), Default::default());
            },
        );
    };
    view! {
        <Card title=words.way_agent>
            <FormView form=form on_submit=submit>
                <p class="muted">{words.agent_steps}</p>
                <TextField label=words.name value=name form=form name="name" help=words.name_help focus=true />
                <FormActions form=form label=words.to_command />
            </FormView>
        </Card>
    }
}

/// A kubeconfig that is pasted or dropped, with the context that is chosen.
#[derive(Clone, Copy)]
pub(super) struct Pasted {
    /// The file.
    pub text: RwSignal<String>,
    /// The chosen context.
    pub context: RwSignal<String>,
    /// See [`ImportCluster::allow_private_address`].
    pub private: RwSignal<bool>,
    /// What a try has led to.
    tried: RwSignal<Option<api::Result<KubeconfigCheck>>>,
    trying: RwSignal<bool>,
    check: Remote<Option<KubeconfigCheck>>,
}

impl Pasted {
    /// Nothing pasted yet. The contexts are read from it as it changes.
    pub(super) fn new(private: bool) -> Self {
        let text = RwSignal::new(String::new());
        let context = RwSignal::new(String::new());
        let quiet = settled(400, text.into());
        let check = Remote::new(move || {
            let input = CheckKubeconfig {
                kubeconfig: quiet.get(),
                context: None,
                allow_private_address: false,
            };
            async move {
                match input.kubeconfig.trim().is_empty() {
                    true => Ok(None),
                    false => api::post("kubernetes/clusters/check", &input)
                        .json::<KubeconfigCheck>()
                        .await
                        .map(Some),
                }
            }
        });
        let private = RwSignal::new(private);
        let tried = RwSignal::new(None);
        Effect::new(move || {
            text.track();
            context.track();
            private.track();
            tried.set(None);
        });
        // The current context is chosen, or the first one that can be used.
        Effect::new(move || {
            let Some(Some(check)) = check.get() else { return };
            let usable = |name: &str| {
                check.contexts.iter().any(|one| one.name == name && one.problem.is_none())
            };
            if !usable(&context.get_untracked()) {
                let current = check.current.clone().filter(|name| usable(name));
                let first = check.contexts.iter().find(|one| one.problem.is_none());
                context
                    .set(current.or_else(|| first.map(|one| one.name.clone())).unwrap_or_default());
            }
        });
        Self { text, context, private, tried, trying: RwSignal::new(false), check }
    }

    /// Whether there is a context that can be used.
    pub(super) fn is_ready(self) -> Signal<bool> {
        Signal::derive(move || {
            !self.context.with(String::is_empty) && !self.text.with(|text| text.trim().is_empty())
        })
    }

    fn attempt(self) {
        self.trying.set(true);
        let input = CheckKubeconfig {
            kubeconfig: self.text.get_untracked(),
            context: Some(self.context.get_untracked()),
            allow_private_address: self.private.get_untracked(),
        };
        spawn_local(async move {
            let answer = api::post("kubernetes/clusters/check", &input).json().await;
            self.trying.try_set(false);
            self.tried.try_set(Some(answer));
        });
    }
}

/// The file, its contexts, and a try.
#[component]
pub(super) fn PasteKubeconfig(pasted: Pasted, form: Form) -> impl IntoView {
    let words = clusters();
    let over = RwSignal::new(false);
    let take = move |file: web_sys::File| {
        spawn_local(async move {
            if let Ok(content) = JsFuture::from(file.text()).await {
                pasted.text.try_set(content.as_string().unwrap_or_default());
            }
        });
    };
    let upload = move |event: leptos::ev::Event| {
        let input: Option<web_sys::HtmlInputElement> =
            event.target().and_then(|target| target.dyn_into().ok());
        if let Some(file) = input.and_then(|input| input.files()).and_then(|files| files.get(0)) {
            take(file);
        }
    };
    let dropped = move |event: leptos::ev::DragEvent| {
        event.prevent_default();
        over.set(false);
        let files = event.data_transfer().and_then(|data| data.files());
        if let Some(file) = files.and_then(|files| files.get(0)) {
            take(file);
        }
    };
    let group = new_id("context");
    let row = move |one: KubeconfigContext| {
        let (key, this) = (one.name.clone(), one.name.clone());
        let bad = one.problem.is_some();
        view! {
            <label class="choice">
                <input type="radio" name=group.clone() value=key.clone() disabled=bad
                    prop:checked=move || pasted.context.with(|context| *context == this)
                    on:change=move |_| pasted.context.set(key.clone()) />
                <span class="grow">
                    <span class="strong break">{one.name}</span>
                    <div class="field-help break">{format!("{} · {}", one.server, one.user)}</div>
                    {one.problem.map(|problem| view! {
                        <div class="row small tone-bad"><Icon glyph=Glyph::Error size=13 /> <span class="break">{problem}</span></div>
                    })}
                </span>
            </label>
        }
    };
    let contexts = move || {
        let check = pasted.check.get().flatten()?;
        let rows = check.contexts.into_iter().map(row.clone()).collect_view();
        Some(view! {
            <fieldset class="field">
                <legend class="field-label">{words.contexts}</legend>
                <div class="choices">{rows}</div>
            </fieldset>
        })
    };
    let unreadable = move || {
        let error =
            pasted.check.error().filter(|_| !pasted.text.with(|text| text.trim().is_empty()))?;
        let message = error.errors.first().map_or(error.message.clone(), |one| one.message.clone());
        Some(view! { <Notice tone=Tone::Bad>{message}</Notice> })
    };
    let tried = move || {
        pasted.tried.get().map(|answer| {
            let (tone, text) = match answer {
                Ok(check) => match check.connection {
                    Some(one) => {
                        let version = one.version.unwrap_or_else(|| t().common.unknown.to_owned());
                        match one.problem {
                            Some(problem) => (Tone::Bad, problem),
                            None => (Tone::Ok, fill(words.connects, &[("version", &version)])),
                        }
                    }
                    None => (Tone::Warn, words.not_tried.to_owned()),
                },
                Err(error) => (
                    Tone::Bad,
                    error.errors.first().map_or(error.message.clone(), |one| one.message.clone()),
                ),
            };
            view! { <Notice tone=tone>{text}</Notice> }
        })
    };
    view! {
        <div
            class=move || if over.get() { "drop drop-over" } else { "drop" }
            on:dragover=move |event| { event.prevent_default(); over.set(true); }
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
        >
            <TextArea label=words.kubeconfig value=pasted.text form=form name="kubeconfig" code=true rows=9 placeholder=words.kubeconfig_placeholder help=words.kubeconfig_help />
            <label class="btn btn-secondary btn-small">
                {words.choose_file}
                <input type="file" class="sr-only" on:change=upload />
            </label>
        </div>
        <div class="stack" aria-live="polite">
            {unreadable}
            {contexts}
        </div>
        <Switch label=words.private_address checked=pasted.private help=words.private_address_help />
        <div class="row-wrap">
            <Button label=words.try_now icon=Glyph::Bolt busy=pasted.trying disabled=Signal::derive(move || !pasted.is_ready().get()) on_click=move |_| pasted.attempt() />
        </div>
        <div aria-live="polite">{tried}</div>
    }
    .into_any()
}

#[component]
fn ByKubeconfig() -> impl IntoView {
    let words = clusters();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let pasted = Pasted::new(false);
    // Named after its context, until somebody names it.
    let named = StoredValue::new(String::new());
    Effect::new(move || {
        let context = pasted.context.get();
        if name.get_untracked() == named.get_value() && !context.is_empty() {
            let plain: String = context
                .chars()
                .map(|c| if c.is_alphanumeric() || "-_. ".contains(c) { c } else { '-' })
                .take(100)
                .collect();
            named.set_value(plain.clone());
            name.set(plain);
        }
    });
    let navigate = use_navigate();
    let submit = move |()| {
        let input = ImportCluster {
            name: name.get_untracked().trim().to_owned(),
            kubeconfig: Some(pasted.text.get_untracked()),
            context: Some(pasted.context.get_untracked()).filter(|context| !context.is_empty()),
            allow_private_address: pasted.private.get_untracked(),
        };
        let request = api::post("kubernetes/clusters", &input);
        let navigate = navigate.clone();
        form.submit(
            move || request.json::<KubernetesCluster>(),
            move |made| {
                use_toasts().success(fill(words.imported, &[("name", &made.name)]));
                navigate(&cluster_page(made.id), Default::default());
            },
        );
    };
    view! {
        <Card title=words.way_kubeconfig>
            <FormView form=form on_submit=submit>
                <PasteKubeconfig pasted=pasted form=form />
                <TextField label=words.name value=name form=form name="name" help=words.name_help />
                <FormActions form=form label=words.import_now disabled=Signal::derive(move || !pasted.is_ready().get()) />
            </FormView>
        </Card>
    }
}
