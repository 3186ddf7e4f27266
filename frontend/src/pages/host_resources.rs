//! Images, volumes and networks of a host, and what prunes them.

use drover_api::{
    Image, List, Network, Permission, PruneKind, PrunePreview, PruneRequest, PullImage,
    PullMessage, Topic, Volume,
};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api::{self, ApiError},
    components::*,
    environment::Env,
    format,
    i18n::{fill, t},
    icons::Glyph,
    remote::Remote,
};

/// Names of containers, shortened when there are many.
fn users(names: Vec<String>) -> AnyView {
    if names.is_empty() {
        return view! { <span class="faint">{t().hosts.unused}</span> }.into_any();
    }
    let all = names.join(", ");
    let more = names.len().saturating_sub(3);
    let shown = names.into_iter().take(3).collect::<Vec<_>>().join(", ");
    let more = (more > 0).then(|| format!(" +{more}"));
    view! { <span title=all>{shown} {more}</span> }.into_any()
}

fn nothing() -> AnyView {
    view! { <p class="empty faint">{t().hosts.nothing}</p> }.into_any()
}

/// The button that pulls an image onto the host.
#[component]
fn Pull(env: Env, path: String, done: Callback<()>) -> impl IntoView {
    let words = &t().hosts;
    let open = RwSignal::new(false);
    if !env.may(Permission::Deploy) {
        return ().into_any();
    }
    view! {
        <Button label=words.pull icon=Glyph::Download on_click=move |_| open.set(true) />
        <Dialog open=open title=words.pull>
            <PullForm path=path.clone() open=open done=done />
        </Dialog>
    }
    .into_any()
}

#[component]
fn PullForm(path: String, open: RwSignal<bool>, done: Callback<()>) -> impl IntoView {
    let words = &t().hosts;
    let form = Form::new();
    let image = RwSignal::new(String::new());
    let submit = move |()| {
        let path = format!("{path}/images");
        let input = PullImage { image: image.get_untracked().trim().to_owned() };
        form.submit(
            move || async move {
                // A line a message; the last one tells how it ended.
                let answer = api::post(path, &input).text().await?;
                let last = answer.lines().rev().find(|line| !line.is_empty()).unwrap_or_default();
                match api::read(last) {
                    Ok(PullMessage::Done { .. }) => Ok(input.image),
                    Ok(PullMessage::Failed { code, message }) => Err(ApiError::new(&code, message)),
                    _ => Err(ApiError::new("unreadable", t().error.unreadable)),
                }
            },
            move |name: String| {
                open.set(false);
                use_toasts().success(fill(t().hosts.pulled, &[("name", &name)]));
                done.run(());
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField form=form name="image" label=words.pull_image value=image help=words.pull_help mono=true focus=true />
            <FormActions form=form label=words.pull on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

/// The button that prunes, with what would go shown first.
#[component]
pub(super) fn Prune(
    env: Env,
    path: String,
    kind: PruneKind,
    #[prop(default = t().engine.prune)] label: &'static str,
    #[prop(into)] done: Callback<()>,
) -> impl IntoView {
    let words = &t().engine;
    let needs = match kind {
        PruneKind::Networks => Permission::ManageHosts,
        _ => Permission::Deploy,
    };
    if !env.may(needs) {
        return ().into_any();
    }
    let start = move |_| {
        let path = format!("{path}/prune");
        spawn_local(async move {
            let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned));
            let preview = api::get(path.clone()).query("kind", name.unwrap_or_default());
            match preview.json::<PrunePreview>().await {
                Ok(preview) if preview.items.is_empty() => {
                    use_toasts().success(words.prune_nothing)
                }
                Ok(preview) => ask_prune(path, preview, done),
                Err(error) => use_toasts().error(&error),
            }
        });
    };
    view! { <Button label=label icon=Glyph::Trash on_click=start /> }.into_any()
}

fn ask_prune(path: String, preview: PrunePreview, done: Callback<()>) {
    let words = &t().engine;
    let kind = preview.kind;
    let ids: Vec<String> = preview.items.iter().map(|item| item.id.clone()).collect();
    let names = preview
        .items
        .into_iter()
        .map(|item| match item.size {
            Some(size) => format!("{} ({})", item.name, format::bytes(size as f64)),
            None => item.name,
        })
        .collect();
    let frees = match preview.bytes {
        0 => String::new(),
        bytes => fill(t().hosts.prune_frees, &[("size", &format::bytes(bytes as f64))]),
    };
    let text = format!("{} {frees}", words.prune_text);
    Confirm::new(words.prune.trim_end_matches('…'), text).names(names).ask(
        t().common.remove,
        move || {
            let (path, ids) = (path.clone(), ids.clone());
            async move {
                api::post(path, &PruneRequest { kind, ids }).done().await?;
                done.run(());
                Ok(())
            }
        },
    );
}

fn remove_item(path: String, name: String, done: Callback<()>) -> MenuItem {
    MenuItem::danger(Glyph::Trash, t().common.remove, move || {
        let path = path.clone();
        Confirm::new(t().common.remove, t().common.goes_for_good).names(vec![name.clone()]).ask(
            t().common.remove,
            move || {
                let path = path.clone();
                async move {
                    api::delete(path).done().await?;
                    done.run(());
                    Ok(())
                }
            },
        );
    })
}

/// The images on a host.
#[component]
pub(super) fn Images(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/images")).query("limit", 1000).json::<List<Image>>()
        })
        .live(&[Topic::HostResources], |_| true)
    };
    let done = Callback::new(move |()| list.reload());
    let row_path = StoredValue::new(path.clone());
    let row = move |image: Image| {
        let name =
            image.tags.first().cloned().unwrap_or_else(|| image.id.chars().take(19).collect());
        let remove = format!("{}/images/{}", row_path.get_value(), api::encode(&image.id));
        let shown = name.clone();
        view! {
            <tr>
                <td class="mono">{image.tags.join(", ")} {image.tags.is_empty().then(|| view! { <span class="faint">{name.clone()}</span> })}</td>
                <td class="nums">{format::bytes(image.size as f64)}</td>
                <td class="nums">{image.containers}</td>
                <td><TimeAgo at=image.created_at /></td>
                <td>{env.may(Permission::Deploy).then(|| view! { <RowMenu items=move || vec![remove_item(remove.clone(), shown.clone(), done)] /> })}</td>
            </tr>
        }
    };
    view! {
        <div class="toolbar">
            <Pull env=env path=path.clone() done=done />
            <Prune env=env path=path.clone() kind=PruneKind::DanglingImages label=t().hosts.prune_dangling done=done />
            <Prune env=env path=path kind=PruneKind::UnusedImages label=t().hosts.prune_unused done=done />
        </div>
        <Loaded remote=list let:list>
            <Card flush=true><div class="scroll-x"><table class="plain">
                <thead><tr><th>{words.image}</th><th>{words.size}</th><th>{words.containers}</th><th>{t().common.created}</th><th></th></tr></thead>
                <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
            </table></div>
            {move || list.get().items.is_empty().then(nothing)}
            </Card>
        </Loaded>
    }
}

/// The volumes on a host.
#[component]
pub(super) fn Volumes(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/volumes")).query("limit", 1000).json::<List<Volume>>()
        })
        .live(&[Topic::HostResources], |_| true)
    };
    let done = Callback::new(move |()| list.reload());
    let row_path = StoredValue::new(path.clone());
    let row = move |volume: Volume| {
        let remove = format!("{}/volumes/{}", row_path.get_value(), api::encode(&volume.name));
        let name = volume.name.clone();
        view! {
            <tr>
                <td class="mono">{volume.name}</td>
                <td>{volume.driver}</td>
                <td class="nums">{volume.size.map(|size| format::bytes(size as f64))}</td>
                <td>{users(volume.used_by)}</td>
                <td>{env.may(Permission::Deploy).then(|| view! { <RowMenu items=move || vec![remove_item(remove.clone(), name.clone(), done)] /> })}</td>
            </tr>
        }
    };
    view! {
        <div class="toolbar"><Prune env=env path=path kind=PruneKind::Volumes done=done /></div>
        <Loaded remote=list let:list>
            <Card flush=true><div class="scroll-x"><table class="plain">
                <thead><tr><th>{t().common.name}</th><th>{words.driver}</th><th>{words.size}</th><th>{words.used_by}</th><th></th></tr></thead>
                <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
            </table></div>
            {move || list.get().items.is_empty().then(nothing)}
            </Card>
        </Loaded>
    }
}

/// The networks on a host.
#[component]
pub(super) fn Networks(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/networks")).query("limit", 1000).json::<List<Network>>()
        })
        .live(&[Topic::HostResources], |_| true)
    };
    let done = Callback::new(move |()| list.reload());
    let row_path = StoredValue::new(path.clone());
    let row = move |network: Network| {
        let remove = format!("{}/networks/{}", row_path.get_value(), api::encode(&network.id));
        let (name, fixed) = (network.name.clone(), network.predefined);
        view! {
            <tr>
                <td class="mono">{network.name}</td>
                <td>{network.driver} {network.internal.then(|| view! { " " <Badge label=t().hosts.internal /> })}</td>
                <td class="mono">{network.subnets.join(", ")}</td>
                <td>{users(network.containers)}</td>
                <td>{(env.may(Permission::ManageHosts) && !fixed).then(|| view! { <RowMenu items=move || vec![remove_item(remove.clone(), name.clone(), done)] /> })}</td>
            </tr>
        }
    };
    view! {
        <div class="toolbar"><Prune env=env path=path kind=PruneKind::Networks done=done /></div>
        <Loaded remote=list let:list>
            <Card flush=true><div class="scroll-x"><table class="plain">
                <thead><tr><th>{t().common.name}</th><th>{words.driver}</th><th>{words.subnet}</th><th>{words.containers}</th><th></th></tr></thead>
                <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
            </table></div>
            {move || list.get().items.is_empty().then(nothing)}
            </Card>
        </Loaded>
    }
}
