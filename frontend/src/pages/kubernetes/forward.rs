//! A port of a Service or Pod, opened in the browser through Drover.

use drover_api::{NewPortForward, PortForward, PortForwardKind};
use leptos::prelude::*;
use serde_json::Value;

use super::{Kube, actions::Target};
use crate::{
    api,
    components::*,
    format,
    i18n::{fill, kubernetes},
    icons::{Glyph, Icon},
    states::Tone,
};

/// The TCP ports of a Service or Pod: what to ask for, and how it is called.
fn ports(target: &Target, object: &Value) -> Vec<(String, String)> {
    let one = |port: &Value, key: &str| {
        let number = port[key].as_u64()?;
        let tcp = port["protocol"].as_str().is_none_or(|protocol| protocol == "TCP");
        let label = match port["name"].as_str() {
            Some(name) => format!("{number} ({name})"),
            None => number.to_string(),
        };
        tcp.then(|| (number.to_string(), label))
    };
    let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array);
    if target.type_id == "services" {
        return list("/spec/ports")
            .into_iter()
            .flatten()
            .filter_map(|port| one(port, "port"))
            .collect();
    }
    list("/spec/containers")
        .into_iter()
        .flatten()
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .filter_map(|port| one(port, "containerPort"))
        .collect()
}

/// Asks for the port, and shows the address.
#[component]
pub(super) fn Forward(kube: Kube, target: Target, object: Value) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let ports = ports(&target, &object);
    let port = RwSignal::new(ports.first().map(|(port, _)| port.clone()).unwrap_or_default());
    let https = RwSignal::new(port.get_untracked().ends_with("443"));
    let made = RwSignal::new(None::<PortForward>);
    let free = ports.is_empty();
    let submit = move |()| {
        let new = NewPortForward {
            kind: match target.type_id.as_str() {
                "services" => PortForwardKind::Service,
                _ => PortForwardKind::Pod,
            },
            namespace: target.namespace.clone().unwrap_or_default(),
            name: target.name.clone(),
            port: port.get_untracked().trim().to_owned(),
            https: https.get_untracked(),
            minutes: None,
        };
        let request = api::post(kube.env.api("kubernetes/port-forwards"), &new);
        form.submit(move || request.json::<PortForward>(), move |forward| made.set(Some(forward)));
    };
    let shown = move |forward: PortForward| {
        let time = format::date_time(forward.expires_at);
        view! {
            <Notice tone=Tone::Ok>{fill(words.forward_until, &[("time", &time)])}</Notice>
            <CopyLine text=forward.url.clone() />
            <div class="form-actions">
                <a class="btn btn-primary" href=forward.url target="_blank" rel="external noopener noreferrer">
                    <Icon glyph=Glyph::Globe /> <span>{words.forward_open}</span>
                </a>
            </div>
        }
    };
    let ask = view! {
        <FormView form=form on_submit=submit>
            <p class="muted">{words.forward_text}</p>
            {match free {
                true => view! { <TextField label=words.port value=port form=form name="port" kind="number" focus=true /> }.into_any(),
                false => view! { <SelectField label=words.port value=port options=ports form=form name="port" /> }.into_any(),
            }}
            <Switch label=words.forward_https checked=https />
            <FormActions form=form label=words.forward_make />
        </FormView>
    };
    let hidden = move || made.with(Option::is_some);
    view! {
        <div hidden=hidden>{ask}</div>
        {move || made.get().map(shown)}
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_those_that_a_browser_can_open() {
        let target = |type_id: &str| Target {
            type_id: type_id.into(),
            kind: String::new(),
            namespace: None,
            name: String::new(),
        };
        let service = json!({ "spec": { "ports": [
            { "port": 80, "name": "http" }, { "port": 53, "protocol": "UDP" },
        ] } });
        assert_eq!(ports(&target("services"), &service), [("80".into(), "80 (http)".into())]);
        let pod =
            json!({ "spec": { "containers": [{ "ports": [{ "containerPort": 8080 }] }, {}] } });
        assert_eq!(ports(&target("pods"), &pod), [("8080".into(), "8080".into())]);
    }
}
