use drover_api::{
    List, Operation, OperationKind, OperationLogLine, OperationState, Permission, Topic,
};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::t,
    icons::Glyph,
    remote::Remote,
    states::{Stated, Tone, operation_name},
};

/// The page of what an operation is done to, where it has one.
fn target_path(env: Env, operation: &Operation) -> Option<String> {
    match operation.target_kind.as_str() {
        "stack" => Some(env.path(&format!("stacks/{}", operation.target_id))),
        "host" => Some(env.path(&format!("hosts/{}", operation.target_id))),
        _ => None,
    }
}

fn tone(state: OperationState) -> Tone {
    match state {
        OperationState::Queued | OperationState::Running => Tone::Accent,
        state => state.tone(),
    }
}

/// How far an operation is: the message while it runs, the error when it failed.
#[component]
pub fn OperationProgress(
    /// The operation.
    operation: Operation,
) -> impl IntoView {
    let Operation { state, progress, message, error, .. } = operation;
    let text = error.map_or(message, |error| error.message);
    let busy = state.busy();
    let shown = if state == OperationState::Succeeded { 1.0 } else { progress };
    view! {
        <span class="progress-line">
            <Progress value=shown tone=tone(state) busy=busy label=t().operations.progress />
            <span class="truncate small muted" title=text.clone()>{text.clone()}</span>
        </span>
    }
}

/// An environment's operations.
#[component]
pub fn Operations() -> impl IntoView {
    let words = &t().operations;
    let env = use_env();
    let state = RwSignal::new(String::new());
    let table = TableSpec::new(
        move |ask| ask.get(env.api("operations")).query("state", state.get()),
        |operation: &Operation| operation.id.to_string(),
    )
    .column(
        Column::new("kind", words.operation, move |operation: &Operation| {
            view! {
                <a href=env.path(&format!("operations/{}", operation.id))>{operation_name(operation.kind)}</a>
            }
        })
        .width(9.0),
    )
    .column(
        Column::new("target_name", words.target, |operation: &Operation| {
            view! { <span title=operation.target_name.clone()>{operation.target_name.clone()}</span> }
        })
        .grow(1),
    )
    .column(
        Column::new("state", t().common.state, |operation: &Operation| {
            view! { <StatePill state=operation.state /> }
        })
        .width(7.5),
    )
    .column(
        Column::new("progress", words.progress, |operation: &Operation| {
            view! { <OperationProgress operation=operation.clone() /> }
        })
        .grow(2),
    )
    .column(
        Column::new("created_by", words.by, |operation: &Operation| {
            operation.created_by.clone().unwrap_or_else(|| t().operations.by_drover.to_owned())
        })
        .width(8.0),
    )
    .column(
        Column::new("created_at", words.asked, |operation: &Operation| {
            view! { <TimeAgo at=operation.created_at /> }
        })
        .width(7.0),
    )
    .column(Column::new("took", words.took, |operation: &Operation| took(operation)).width(6.0).end())
    .name(|operation| operation_name(operation.kind).to_owned())
    .link(move |operation| env.path(&format!("operations/{}", operation.id)))
    .live(&[Topic::Operation])
    .patch(|event, operation| event.id == operation.id.to_string())
    .no_search()
    .empty(move || view! { <Empty glyph=Glyph::Operation title=words.empty text=words.empty_text /> });
    let states: Vec<_> = std::iter::once((String::new(), words.any_state.to_owned()))
        .chain(
            [
                (OperationState::Queued, "queued"),
                (OperationState::Running, "running"),
                (OperationState::Succeeded, "succeeded"),
                (OperationState::Failed, "failed"),
                (OperationState::Cancelled, "cancelled"),
            ]
            .map(|(state, name)| (name.to_owned(), state.label().to_owned())),
        )
        .collect();
    let filters =
        move || view! { <Select label=t().common.state value=state options=states.clone() /> };
    view! {
        <Page title=words.title sub=words.text>
            <Table spec=table label=words.title filters=filters />
        </Page>
    }
}

/// Cancels a rollout that is under way; nothing for other operations.
#[component]
pub fn CancelOperation(
    /// Where it happens.
    env: Env,
    /// The operation.
    operation: Operation,
    /// Called when the server has taken it.
    #[prop(into)]
    done: Callback<()>,
) -> impl IntoView {
    use OperationKind::{Install, Restart, Rollback, Start, Upgrade};
    let words = &t().operations;
    let can = matches!(operation.kind, Install | Upgrade | Rollback | Restart | Start)
        && !operation.state.is_final()
        && env.may(Permission::Deploy);
    let path = env.api(&format!("operations/{}/cancel", operation.id));
    let name = format!("{} {}", operation_name(operation.kind), operation.target_name);
    let ask = move |_| {
        let path = path.clone();
        Confirm::new(words.cancel, words.cancel_text).names(vec![name.clone()]).ask(
            words.cancel,
            move || {
                let path = path.clone();
                async move {
                    api::post(path, &()).done().await?;
                    use_toasts().success(words.cancelled);
                    done.run(());
                    Ok(())
                }
            },
        );
    };
    can.then(|| view! { <Button small=true icon=Glyph::Close label=words.cancel on_click=ask /> })
}

/// How long it took, or has taken so far.
fn took(operation: &Operation) -> String {
    let Some(began) = operation.started_at else { return String::new() };
    let ended = operation.finished_at.map_or_else(format::now_ms, |at| at.unix_ms() as f64);
    format::duration(ended - began.unix_ms() as f64)
}

/// One operation: how far it is, why it failed, what it did.
#[component]
pub fn OperationPage() -> impl IntoView {
    let words = &t().operations;
    let env = use_env();
    let id =
        use_params_map().with_untracked(|params| params.get("operation_id")).unwrap_or_default();
    let path = env.api(&format!("operations/{}", api::encode(&id)));
    let log_path = format!("{path}/log");
    let is_mine = {
        let id = id.clone();
        move |event: &drover_api::Event| event.id == id
    };
    let operation = Remote::new(move || api::get(path.clone()).json::<Operation>())
        .live(&[Topic::Operation], is_mine.clone());
    let log = Remote::new(move || api::get(log_path.clone()).json::<List<OperationLogLine>>())
        .live(&[Topic::Operation], is_mine);
    let title = Signal::derive(move || {
        operation.with(|operation| match operation {
            Some(operation) => {
                format!("{} {}", operation_name(operation.kind), operation.target_name)
            }
            None => words.operation.to_owned(),
        })
    });
    let crumbs = vec![(env.path("operations"), words.title.to_owned())];
    let badge =
        move || operation.get().map(|operation| view! { <StatePill state=operation.state /> });
    let actions = move || {
        operation.get().map(|now| view! { <CancelOperation env=env operation=now done=move |()| operation.reload() /> })
    };
    view! {
        <Page title=title crumbs=crumbs badge=badge actions=actions>
            <Loaded remote=operation let:now>
                <div class="stack">
                    {move || view! { <Facts env=env operation=now.get() /> }}
                    <Card title=words.log flush=true>
                        <Loaded remote=log let:lines>
                            {move || view! { <LogLines lines=lines.get().items /> }}
                        </Loaded>
                    </Card>
                </div>
            </Loaded>
        </Page>
    }
}

#[component]
fn Facts(env: Env, operation: Operation) -> impl IntoView {
    let words = &t().operations;
    let error = operation.error.clone().map(|error| {
        let place = [(words.service, error.service), (words.host, error.host)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}: {}", value?)))
            .collect::<Vec<_>>()
            .join(" · ");
        view! {
            <Notice tone=Tone::Bad>
                <div class="strong">{error.message}</div>
                <div class="small">{place} " " <code>{error.code}</code></div>
            </Notice>
        }
    });
    let target = match target_path(env, &operation) {
        Some(href) => view! { <a href=href>{operation.target_name.clone()}</a> }.into_any(),
        None => view! { {operation.target_name.clone()} }.into_any(),
    };
    let by = operation.created_by.clone().unwrap_or_else(|| words.by_drover.to_owned());
    let rows = vec![
        (words.target, target),
        (words.by, view! { {by} }.into_any()),
        (words.asked, view! { {format::date_time(operation.created_at)} }.into_any()),
        (words.took, view! { {took(&operation)} }.into_any()),
    ];
    view! {
        {error}
        <Card>
            <div class="stack">
                {(!operation.state.is_final() || operation.error.is_none())
                    .then(|| view! { <OperationProgress operation=operation.clone() /> })}
                <KeyValues rows=rows />
            </div>
        </Card>
    }
}

#[component]
fn LogLines(lines: Vec<OperationLogLine>) -> impl IntoView {
    if lines.is_empty() {
        return view! { <p class="empty faint">{t().operations.log_empty}</p> }.into_any();
    }
    let lines = lines
        .into_iter()
        .map(|line| {
            view! {
                <li>
                    <time title=format::date_time(line.at)>{format::clock(line.at.unix_ms() as f64)}</time>
                    <span>{line.message}</span>
                </li>
            }
        })
        .collect_view();
    view! { <ol class="log-lines">{lines}</ol> }.into_any()
}
