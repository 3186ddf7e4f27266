//! The stacks in a swarm: Drover's own, and those made on the command line.

use drover_api::{List, Permission, SwarmStack, Topic};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{fill, swarm, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// The list.
#[component]
pub(super) fn Stacks(env: Env) -> impl IntoView {
    let words = swarm();
    let stacks = Remote::new(move || {
        api::get(env.api("swarm/stacks")).query("limit", 1000).json::<List<SwarmStack>>()
    })
    .live(&[Topic::SwarmService, Topic::Stack], |_| true);
    let empty =
        Memo::new(move |_| stacks.with(|list| list.is_some_and(|list| list.items.is_empty())));
    view! {
        <Loaded remote=stacks let:list>
            {move || match empty.get() {
                true => view! { <Empty glyph=Glyph::Stack title=words.no_stacks text=words.no_stacks_text /> }.into_any(),
                false => view! {
                    <Card flush=true>
                        <div class="scroll-x">
                            <table class="plain">
                                <thead><tr>
                                    <th>{words.stack}</th><th>{words.made_with}</th>
                                    <th>{words.services}</th><th>{words.tasks}</th><th></th>
                                </tr></thead>
                                <tbody>{move || list.get().items.into_iter().map(|one| row(env, one, stacks)).collect_view()}</tbody>
                            </table>
                        </div>
                    </Card>
                }
                .into_any(),
            }}
        </Loaded>
    }
}

fn row(env: Env, stack: SwarmStack, stacks: Remote<List<SwarmStack>>) -> AnyView {
    let words = swarm();
    let name = stack.name.clone();
    let face = match stack.stack_id {
        Some(id) => {
            view! { <a class="strong" href=env.path(&format!("stacks/{id}"))>{name.clone()}</a> }
                .into_any()
        }
        None => {
            let href = env.path(&format!("swarm?tab=services&q={}", api::encode(&name)));
            view! { <a class="strong" href=href>{name.clone()}</a> }.into_any()
        }
    };
    let made = match stack.stack_id {
        Some(_) => words.by_drover,
        None => words.by_cli,
    };
    let values = [("running", stack.running.to_string()), ("desired", stack.desired.to_string())];
    let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
    let count = fill(t().engine.running_of, &values);
    let tone = if stack.running < stack.desired { Tone::Warn } else { Tone::Ok };
    let removable = stack.stack_id.is_none() && !stack.foreign && env.may(Permission::Deploy);
    let path = env.api(&format!("swarm/stacks/{}", api::encode(&name)));
    let remove = move |_| {
        let path = path.clone();
        Confirm::new(words.remove_stack, words.remove_stack_text).type_name(&name).ask(
            t().common.remove,
            move || {
                let request = api::delete(path.clone());
                async move {
                    request.done().await?;
                    stacks.reload();
                    Ok(())
                }
            },
        );
    };
    view! {
        <tr>
            <td>{face}</td>
            <td class="muted">{made}</td>
            <td class="nums">{stack.services}</td>
            <td><Badge label=count tone=tone /></td>
            <td>{removable.then(|| view! { <IconButton glyph=Glyph::Trash small=true label=words.remove_stack on_click=remove /> })}</td>
        </tr>
    }
    .into_any()
}
