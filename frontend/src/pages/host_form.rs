//! The form that adds a host or changes one, with a test of the connection.

use drover_api::{ConnectionTest, CreateHost, Endpoint, Host, TlsCredentials, UpdateHost};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api,
    components::*,
    environment::Env,
    i18n::t,
    icons::{Glyph, Icon},
    states::Tone,
};

/// What is typed into the form.
#[derive(Clone, Copy)]
struct Fields {
    name: RwSignal<String>,
    labels: RwSignal<Vec<LabelRow>>,
    kind: RwSignal<String>,
    socket: RwSignal<String>,
    address: RwSignal<String>,
    ca: RwSignal<String>,
    certificate: RwSignal<String>,
    key: RwSignal<String>,
}

impl Fields {
    fn of(host: Option<&Host>, kind: &str) -> Self {
        let empty = || RwSignal::new(String::new());
        let (kind, socket, address) = match host.map(|host| &host.endpoint) {
            Some(Endpoint::Socket { path }) => ("socket", path.clone(), String::new()),
            Some(Endpoint::Tcp { address }) => ("tcp", String::new(), address.clone()),
            Some(Endpoint::Agent) => ("agent", String::new(), String::new()),
            None => (kind, "/var/run/docker.sock".to_owned(), String::new()),
        };
        Self {
            name: RwSignal::new(host.map(|host| host.name.clone()).unwrap_or_default()),
            labels: match host {
                Some(host) => label_rows(&host.labels),
                None => RwSignal::new(Vec::new()),
            },
            kind: RwSignal::new(kind.to_owned()),
            socket: RwSignal::new(socket),
            address: RwSignal::new(address),
            ca: empty(),
            certificate: empty(),
            key: empty(),
        }
    }

    fn is_tcp(self) -> bool {
        self.kind.get() == "tcp"
    }

    fn is_agent(self) -> bool {
        self.kind.get() == "agent"
    }

    fn endpoint(self) -> Endpoint {
        match self.kind.get_untracked().as_str() {
            "tcp" => Endpoint::Tcp { address: self.address.get_untracked() },
            "agent" => Endpoint::Agent,
            _ => Endpoint::Socket { path: self.socket.get_untracked() },
        }
    }

    /// The certificates, where any was given.
    fn tls(self) -> Option<TlsCredentials> {
        let tls = TlsCredentials {
            ca: self.ca.get_untracked(),
            certificate: self.certificate.get_untracked(),
            key: self.key.get_untracked(),
        };
        let given = [&tls.ca, &tls.certificate, &tls.key].iter().any(|pem| !pem.trim().is_empty());
        (given && untrack(|| self.is_tcp())).then_some(tls)
    }

    fn input(self) -> CreateHost {
        CreateHost {
            name: self.name.get_untracked(),
            labels: labels_of(self.labels),
            endpoint: self.endpoint(),
            tls: self.tls(),
        }
    }
}

/// Adds a host, or changes `host`.
#[component]
pub(super) fn HostForm(
    env: Env,
    /// The host to change; absent: a new one.
    #[prop(default = None)]
    host: Option<Host>,
    /// How a new one is reached: `tcp` or `socket`.
    #[prop(default = "tcp")]
    kind: &'static str,
    open: RwSignal<bool>,
    /// Called when it is saved.
    #[prop(into)]
    done: Callback<()>,
) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let fields = Fields::of(host.as_ref(), kind);
    let known = host.as_ref().map(|host| (host.id, host.version, host.endpoint.clone()));
    let editing = known.is_some();
    let submit = move |()| {
        let done = move |()| {
            open.set(false);
            done.run(());
        };
        match known.clone() {
            None => {
                let input = fields.input();
                form.submit(
                    move || async move { api::post(env.api("hosts"), &input).done().await },
                    done,
                );
            }
            Some((id, version, before)) => {
                let input = UpdateHost {
                    name: Some(fields.name.get_untracked()),
                    labels: Some(labels_of(fields.labels)),
                    endpoint: Some(fields.endpoint()).filter(|endpoint| *endpoint != before),
                    tls: fields.tls(),
                    mode: None,
                };
                let path = env.api(&format!("hosts/{id}"));
                form.submit(
                    move || async move { api::patch(path, &input).if_match(version).done().await },
                    done,
                );
            }
        }
    };
    let pem = move |label: &'static str, value, name: &'static str| {
        view! { <TextArea label=label value=value form=form name=name code=true rows=3 optional=editing placeholder="-----BEGIN …" /> }
    };
    let how = move || {
        if fields.is_tcp() {
            view! {
                <TextField label=words.address value=fields.address form=form name="endpoint.address" help=words.address_help mono=true />
                {pem(words.ca, fields.ca, "tls.ca")}
                {pem(words.certificate, fields.certificate, "tls.certificate")}
                {pem(words.key, fields.key, "tls.key")}
                {editing.then(|| view! { <p class="field-help">{t().hosts.tls_kept}</p> })}
            }
            .into_any()
        } else if fields.is_agent() {
            ().into_any()
        } else {
            view! { <TextField label=words.socket_path value=fields.socket form=form name="endpoint.path" mono=true /> }
                .into_any()
        }
    };
    let label = if editing { t().common.save } else { words.add_host };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=t().common.name value=fields.name form=form name="name" focus=true />
            {how}
            <LabelEditor rows=fields.labels help=t().hosts.labels_help />
            {(!untrack(|| fields.is_agent())).then(|| view! { <Test env=env fields=fields form=form /> })}
            <FormActions form=form label=label on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

/// Tries the connection, and says what was found step by step.
#[component]
fn Test(env: Env, fields: Fields, form: Form) -> impl IntoView {
    let words = &t().engine;
    let tested = RwSignal::new(None::<ConnectionTest>);
    let testing = RwSignal::new(false);
    let test = move |_| {
        testing.set(true);
        tested.set(None);
        form.clear();
        let mut input = fields.input();
        if input.name.is_empty() {
            input.name = "test".into();
        }
        spawn_local(async move {
            let answer = api::post(env.api("hosts/test"), &input).json::<ConnectionTest>().await;
            testing.try_set(false);
            match answer {
                Ok(result) => _ = tested.try_set(Some(result)),
                Err(error) => form.fail(error),
            }
        });
    };
    let result = move || {
        tested.get().map(|result| {
            let steps = result
                .steps
                .into_iter()
                .map(|step| {
                    let (glyph, tone) = match step.ok {
                        true => (Glyph::Check, "tone-ok"),
                        false => (Glyph::Error, "tone-bad"),
                    };
                    view! {
                        <li>
                            <Icon glyph=glyph class=tone />
                            <span><span class="strong">{step.name}</span> " " {step.message}</span>
                        </li>
                    }
                })
                .collect_view();
            let tone = if result.ok { Tone::Ok } else { Tone::Bad };
            view! { <Notice tone=tone><ul class="steps">{steps}</ul></Notice> }
        })
    };
    view! {
        <div class="stack-s" aria-live="polite">
            <div class="row">
                <Button label=words.test icon=Glyph::Bolt busy=testing on_click=test />
            </div>
            {result}
        </div>
    }
}
