//! Takes what may be secret out of answers, for those who may see all but secrets: the values of
//! environment variables, the options of log and volume drivers, the data of configs. The names
//! stay.

use serde_json::Value;

use crate::hosts::detail;

/// What an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container's inspect.
    Container,
    /// An image's inspect.
    Image,
    /// A list of volumes.
    Volumes,
    /// A volume.
    Volume,
    /// A service or a list of them.
    Services,
    /// A task or a list of them.
    Tasks,
    /// A config or a list of them.
    Configs,
    /// A plugin or a list of them.
    Plugins,
}

/// Takes the secrets out of an answer.
pub fn hide(answer: &mut Value, kind: Kind) {
    match kind {
        Kind::Container => detail::hide_secrets(answer),
        Kind::Image => {
            for place in ["/Config/Env", "/ContainerConfig/Env"] {
                each(answer, place, detail::hide_values);
            }
            // The command of the build that made it, with its arguments.
            each(answer, "/ContainerConfig/Cmd", |command| *command = Value::Null);
        }
        Kind::Volumes => {
            let list = answer.get_mut("Volumes").and_then(Value::as_array_mut);
            list.into_iter().flatten().for_each(volume);
        }
        Kind::Volume => volume(answer),
        Kind::Services => all(answer, |service| {
            for spec in ["/Spec", "/PreviousSpec"] {
                each(service, spec, |spec| each(spec, "/TaskTemplate", task));
                each(service, spec, |spec| mounts(spec, "/TaskTemplate/ContainerSpec/Mounts"));
            }
        }),
        Kind::Tasks => all(answer, |found| {
            each(found, "/Spec", task);
            mounts(found, "/Spec/ContainerSpec/Mounts");
        }),
        Kind::Configs => all(answer, |config| {
            each(config, "/Spec/Data", |data| *data = Value::String(String::new()));
        }),
        Kind::Plugins => all(answer, |plugin| {
            each(plugin, "/Settings/Env", detail::hide_values);
            each(plugin, "/Settings/Args", |arguments| *arguments = Value::Array(Vec::new()));
            let variables = plugin.pointer_mut("/Config/Env").and_then(Value::as_array_mut);
            for variable in variables.into_iter().flatten() {
                each(variable, "/Value", |value| *value = Value::Null);
            }
            each(plugin, "/Config/Args/Value", |value| *value = Value::Null);
        }),
    }
}

fn all(answer: &mut Value, hide: impl Fn(&mut Value)) {
    match answer {
        Value::Array(list) => list.iter_mut().for_each(hide),
        one => hide(one),
    }
}

fn each(value: &mut Value, place: &str, hide: impl Fn(&mut Value)) {
    if let Some(found) = value.pointer_mut(place) {
        hide(found);
    }
}

fn task(template: &mut Value) {
    each(template, "/ContainerSpec/Env", detail::hide_values);
    each(template, "/LogDriver/Options", empty_values);
    each(template, "/PluginSpec/Env", detail::hide_values);
}

fn mounts(value: &mut Value, place: &str) {
    let list = value.pointer_mut(place).and_then(Value::as_array_mut);
    for mount in list.into_iter().flatten() {
        each(mount, "/VolumeOptions/DriverConfig/Options", empty_values);
    }
}

/// The `local` driver's `o` can hold the password of a network file system.
fn volume(volume: &mut Value) {
    each(volume, "/Options", empty_values);
}

fn empty_values(map: &mut Value) {
    for (_, value) in map.as_object_mut().into_iter().flatten() {
        *value = Value::String(String::new());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_is_left_and_names_stay() {
        let environment = json!(["PASSWORD=hunter2", "PLAIN"]);
        let template = json!({"ContainerSpec": {"Env": environment, "Mounts": [{"VolumeOptions":
            {"DriverConfig": {"Options": {"o": "password=hunter2"}}}}]},
            "LogDriver": {"Options": {"PASSWORD": "hunter2"}}});
        let spec = json!({"Name": "PASSWORD", "TaskTemplate": template});
        let service = json!({"Spec": spec, "PreviousSpec": spec});
        let volume = json!({"Name": "PASSWORD", "Options": {"o": "password=hunter2"}});
        let plugin = json!({"Settings": {"Env": environment, "Args": ["hunter2"]}, "Config":
            {"Env": [{"Name": "PASSWORD", "Value": "hunter2"}], "Args": {"Value": ["hunter2"]}}});
        let image = json!({"Config": {"Env": environment},
            "ContainerConfig": {"Env": environment, "Cmd": ["|1 X=hunter2 sh"]}});
        for (kind, answer) in [
            (
                Kind::Container,
                json!({"Config": {"Env": environment}, "HostConfig":
                {"LogConfig": {"Config": {"token": "hunter2"}}}}),
            ),
            (Kind::Image, image),
            (Kind::Volumes, json!({"Volumes": [volume], "Warnings": null})),
            (Kind::Volume, volume.clone()),
            (Kind::Services, json!([service])),
            (Kind::Services, service.clone()),
            (Kind::Tasks, json!([{"Spec": template, "Name": "PASSWORD"}])),
            (Kind::Configs, json!([{"Spec": {"Name": "PASSWORD", "Data": "hunter2"}}])),
            (Kind::Plugins, json!([plugin])),
        ] {
            let mut hidden = answer.clone();
            hide(&mut hidden, kind);
            let text = hidden.to_string();
            assert!(!text.contains("hunter2"), "{kind:?}: {text}");
            assert!(text.contains("PASSWORD"), "{kind:?}: {text}");
        }
        // What is not there is no trouble.
        for kind in [Kind::Container, Kind::Volumes, Kind::Services] {
            hide(&mut json!({"message": "x"}), kind);
            hide(&mut json!([null, 1]), kind);
        }
    }
}
