//! An environment's cluster for `kubectl`, helm and client libraries: a kubeconfig with an API key
//! of one's own.

use drover_api::{NewKubeconfig, Role};
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::{Kube, use_kube};
use crate::{
    api,
    components::*,
    i18n::kubernetes,
    states::{Stated, Tone, role_help},
};

/// Has the browser save a text.
fn save(name: &str, text: &str) -> Option<()> {
    let parts = js_sys::Array::of1(&text.into());
    let blob = web_sys::Blob::new_with_str_sequence(&parts).ok()?;
    let address = web_sys::Url::create_object_url_with_blob(&blob).ok()?;
    let link = document().create_element("a").ok()?;
    link.set_attribute("href", &address).ok()?;
    link.set_attribute("download", name).ok()?;
    // The router leaves other pages' addresses alone.
    link.set_attribute("rel", "external").ok()?;
    link.dyn_into::<web_sys::HtmlElement>().ok()?.click();
    web_sys::Url::revoke_object_url(&address).ok()
}

/// A file's name made of an environment's.
fn file_name(environment: &str) -> String {
    let plain: String = environment
        .chars()
        .map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("{}.kubeconfig", plain.trim_matches('-'))
}

/// The page.
#[component]
pub fn KubernetesKubectl() -> impl IntoView {
    let words = kubernetes();
    let kube = use_kube();
    view! {
        <Page title=words.kubectl sub=words.kubectl_text narrow=true crumbs=vec![(kube.env.path("kubernetes"), words.resources.to_owned())]>
            <Card title=words.download_kubeconfig>
                <Download kube=kube />
            </Card>
            <Lines kube=kube />
        </Page>
    }
}

#[component]
fn Download(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let mine = untrack(|| kube.env.get().map(|env| env.role));
    let roles = [Role::Readonly, Role::Restricted, Role::Member, Role::Owner];
    let reach = roles.iter().position(|role| Some(*role) == mine).unwrap_or_default();
    let name_of = |role: Role| {
        let value = serde_json::to_value(role).ok();
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let options: Vec<_> = roles[..=reach]
        .iter()
        .map(|role| (name_of(*role), role.label().to_owned(), role_help(*role).to_owned()))
        .collect();
    let role = RwSignal::new(mine.map(name_of).unwrap_or_default());
    let days = RwSignal::new("30".to_owned());
    let got = RwSignal::new(false);
    let submit = move |()| {
        let Some(days) =
            days.get_untracked().trim().parse().ok().filter(|days| (1..=365).contains(days))
        else {
            return form.fail_field("days", words.days_bad);
        };
        let role = roles.into_iter().find(|one| name_of(*one) == role.get_untracked());
        let request = api::post(
            kube.env.api("kubernetes/kubeconfig"),
            &NewKubeconfig { role, days: Some(days) },
        );
        form.submit(
            move || request.text(),
            move |text| {
                save(&file_name(&untrack(|| kube.env.name())), &text);
                got.set(true);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <Choices label=words.key_role value=role options=options />
            <TextField label=words.key_days value=days form=form name="days" kind="number" help=words.key_days_help unit=words.days />
            {move || got.get().then(|| view! { <Notice tone=Tone::Ok>{words.kubeconfig_saved}</Notice> })}
            <FormActions form=form label=words.download_kubeconfig />
        </FormView>
    }
}

/// What to try with the file.
#[component]
fn Lines(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let file = Memo::new(move |_| file_name(&kube.env.name()));
    let lines = Signal::derive(move || {
        let namespace = kube.namespaces().into_iter().next().unwrap_or_else(|| "default".into());
        format!(
            "export KUBECONFIG=$PWD/{}\nkubectl auth can-i --list -n {namespace}\nkubectl get pods -n {namespace}\nkubectl logs -f deploy/NAME -n {namespace}",
            file.get()
        )
    });
    let address = Signal::derive(move || {
        kube.cluster.with(|one| one.map(|one| one.api_address.clone()).unwrap_or_default())
    });
    view! {
        <Card title=words.try_it>
            <div class="stack">
                <CommandBlock text=lines />
                <p class="muted small">{words.kubectl_rights}</p>
                <div class="stack-s">
                    <span class="field-label">{words.api_address}</span>
                    <CopyLine text=address />
                </div>
            </div>
        </Card>
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn files_are_called_as_environments_are() {
        assert_eq!(file_name("Team A (dev)"), "team-a--dev.kubeconfig");
    }
}
