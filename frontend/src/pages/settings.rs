use drover_api::{ServerSettings, Topic, UpdateServerSettings};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    i18n::{fill, machines, t},
    remote::Remote,
};

/// The installation's own settings and facts.
#[component]
pub fn Settings() -> impl IntoView {
    let words = &t().admin;
    let settings = Remote::new(|| api::get("settings").json::<ServerSettings>())
        .live(&[Topic::Setting], |_| true);
    view! {
        <Page title=words.settings sub=words.settings_text narrow=true>
            <Loaded remote=settings let:now>
                <div class="stack">
                    <Card title=words.general>
                        {move || view! { <General now=now.get() settings=settings /> }}
                    </Card>
                    <Card title=words.about>
                        {move || view! { <About now=now.get() /> }}
                    </Card>
                </div>
            </Loaded>
        </Page>
    }
}

#[component]
fn General(now: ServerSettings, settings: Remote<ServerSettings>) -> impl IntoView {
    let words = &t().admin;
    let form = Form::new();
    let name = RwSignal::new(now.instance_name);
    let number = |value: u32| RwSignal::new(value.to_string());
    let minutes = number(now.catalog_refresh_minutes);
    let refresh = number(now.directory_refresh_minutes);
    let grace = number(now.directory_grace_minutes);
    let agents = RwSignal::new(now.agents_upgrade_themselves);
    let submit = move |()| {
        let parse = |value: RwSignal<String>| value.get_untracked().trim().parse::<u32>().ok();
        let wrong = |name, text| form.fail_field(name, text);
        let Some(minutes) = parse(minutes) else {
            return wrong("catalog_refresh_minutes", words.minutes_wrong);
        };
        let Some(refresh) = parse(refresh) else {
            return wrong("directory_refresh_minutes", t().sign_in.refresh_minutes_wrong);
        };
        let Some(grace) = parse(grace) else {
            return wrong("directory_grace_minutes", t().sign_in.grace_minutes_wrong);
        };
        let input = UpdateServerSettings {
            instance_name: Some(name.get_untracked()),
            catalog_refresh_minutes: Some(minutes),
            directory_refresh_minutes: Some(refresh),
            directory_grace_minutes: Some(grace),
            agents_upgrade_themselves: Some(agents.get_untracked()),
        };
        form.submit(
            move || async move { api::patch("settings", &input).json::<ServerSettings>().await },
            move |saved| {
                use_toasts().success(t().common.saved);
                settings.set(saved);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField
                form=form
                name="instance_name"
                label=words.instance_name
                value=name
                help=words.instance_name_help
            />
            <TextField
                form=form
                name="catalog_refresh_minutes"
                label=words.catalog_refresh
                value=minutes
                kind="number"
                unit=words.minutes
            />
            <div class="form-group">
                <h3>{t().sign_in.directories_setting}</h3>
                <TextField
                    form=form
                    name="directory_refresh_minutes"
                    label=t().sign_in.refresh_minutes
                    value=refresh
                    kind="number"
                    unit=words.minutes
                    help=t().sign_in.refresh_minutes_help
                />
                <TextField
                    form=form
                    name="directory_grace_minutes"
                    label=t().sign_in.grace_minutes
                    value=grace
                    kind="number"
                    unit=words.minutes
                    help=t().sign_in.grace_minutes_help
                />
            </div>
            <div class="form-group">
                <h3>{machines().agents_setting}</h3>
                <Switch
                    label=machines().agents_themselves
                    help=machines().agents_themselves_help
                    checked=agents
                />
            </div>
            <FormActions form=form label=t().common.save />
        </FormView>
    }
}

#[component]
fn About(now: ServerSettings) -> impl IntoView {
    let words = &t().admin;
    let database = if now.embedded_database { words.database_embedded } else { words.database_own };
    let database = fill(database, &[("version", &now.database_version)]);
    view! {
        <KeyValues rows=vec![
            (words.version, view! { <span class="mono">{now.version}</span> }.into_any()),
            (words.public_url, view! { <span class="mono">{now.public_url}</span> }.into_any()),
            (words.database, view! { {database} }.into_any()),
            (words.started, view! { <TimeAgo at=now.started_at /> }.into_any()),
        ] />
    }
}
