//! The routes. Each page has a real address; what is open on it (tab, search, order) is in the
//! query.

use drover_api::ClusterKind;
use leptos::prelude::*;
use leptos_meta::provide_meta_context;
use leptos_router::{
    components::{ParentRoute, Route, Router, Routes},
    hooks::use_params_map,
    path,
};

use crate::{
    components::{ConfirmDialog, ToastArea, use_toasts},
    environment::use_env,
    frame::{EnvironmentFrame, Frame},
    i18n::LanguageContext,
    later,
    pages::{AdminFrame, NotFound, SetUp, SignIn, Start},
    session::SessionContext,
    theme::ThemeContext,
};

/// A page whose code is fetched when it is first opened, as a route's view.
macro_rules! later {
    ($page:ident) => {
        page(|| later::shown(|| Box::pin(later::$page())))
    };
}

/// The app.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    ThemeContext::provide();
    let language = LanguageContext::provide();
    SessionContext::provide();
    // Made here, they outlive the views, which another language makes anew.
    use_toasts();
    view! {
        <Router>
            {move || {
                // Texts are read when a view is made: another language makes all views anew.
                language.get();
                view! {
                    {pages()}
                    <ConfirmDialog />
                    <ToastArea />
                }
            }}
        </Router>
    }
}

fn pages() -> AnyView {
    view! {
        <Routes fallback=NotFound>
            <Route path=path!("/sign-in") view=page(SignIn) />
            <Route path=path!("/setup") view=page(SetUp) />
            <ParentRoute path=path!("") view=Frame>
                <Route path=path!("") view=page(Start) />
                <Route path=path!("account") view=later!(Profile) />
                <Route path=path!("account/password") view=later!(Password) />
                <Route path=path!("account/api-keys") view=later!(ApiKeys) />
                <EnvironmentRoutes />
                <AdminRoutes />
                <Route path=path!("*any") view=page(NotFound) />
            </ParentRoute>
        </Routes>
    }
    .into_any()
}

#[component(transparent)]
fn EnvironmentRoutes() -> impl leptos_router::MatchNestedRoutes + Clone {
    view! {
        <ParentRoute path=path!("environments/:environment_id") view=EnvironmentFrame>
            <Route path=path!("") view=page(EnvironmentStart) />
            <Route path=path!("stacks") view=later!(Stacks) />
            <Route path=path!("stacks/new") view=later!(NewStack) />
            <Route path=path!("stacks/:stack_id") view=later!(StackPage) />
            <Route path=path!("stacks/:stack_id/upgrade") view=later!(UpgradePage) />
            <Route path=path!("stacks/:stack_id/services/:service") view=later!(ServicePage) />
            <Route path=path!("containers") view=later!(Containers) />
            <Route path=path!("containers/:host_id/:container_id") view=later!(ContainerPage) />
            <EngineRoutes />
            <Route path=path!("members") view=later!(Members) />
            <Route path=path!("settings") view=later!(EnvironmentSettings) />
            <Route path=path!("operations") view=later!(Operations) />
            <Route path=path!("operations/:operation_id") view=later!(OperationPage) />
            <Route path=path!("*any") view=page(NotFound) />
        </ParentRoute>
    }
    .into_inner()
}

#[component(transparent)]
fn EngineRoutes() -> impl leptos_router::MatchNestedRoutes + Clone {
    view! {
        <ParentRoute path=path!("") view=leptos_router::components::Outlet>
            <Route path=path!("hosts") view=later!(Hosts) />
            <Route path=path!("hosts/new") view=later!(AddHost) />
            <Route path=path!("hosts/tokens") view=later!(RegistrationTokens) />
            <Route path=path!("hosts/:host_id") view=later!(HostPage) />
            <SwarmRoutes />
            <KubernetesRoutes />
            <Route path=path!("catalog") view=later!(CatalogPage) />
            <Route path=path!("catalog/:catalog_id/:template") view=later!(TemplatePage) />
            <Route path=path!("secrets") view=later!(SecretsPage) />
        </ParentRoute>
    }
    .into_inner()
}

#[component(transparent)]
fn SwarmRoutes() -> impl leptos_router::MatchNestedRoutes + Clone {
    view! {
        <ParentRoute path=path!("swarm") view=leptos_router::components::Outlet>
            <Route path=path!("") view=later!(SwarmPage) />
            <Route path=path!("nodes/:node_id") view=later!(SwarmNodePage) />
            <Route path=path!("services/:service_id") view=later!(SwarmServicePage) />
        </ParentRoute>
    }
    .into_inner()
}

#[component(transparent)]
fn KubernetesRoutes() -> impl leptos_router::MatchNestedRoutes + Clone {
    view! {
        <ParentRoute path=path!("kubernetes") view=kubernetes_frame>
            <Route path=path!("") view=later!(KubernetesStart) />
            <Route path=path!("create") view=later!(KubernetesCreate) />
            <Route path=path!("kubectl") view=later!(KubernetesKubectl) />
            <Route path=path!("limits") view=later!(KubernetesLimits) />
            <Route path=path!(":type") view=later!(KubernetesList) />
            <Route path=path!(":type/:namespace/:name") view=later!(KubernetesObject) />
            <Route path=path!("*any") view=page(NotFound) />
        </ParentRoute>
    }
    .into_inner()
}

/// The frame of the Kubernetes pages, which comes with their code. It stays while they change.
fn kubernetes_frame() -> AnyView {
    later::shown(|| Box::pin(later::KubernetesBrowser()))
}

/// The first page of an environment, by what it runs on.
#[component]
fn EnvironmentStart() -> impl IntoView {
    let env = use_env();
    let kubernetes = Memo::new(move |_| {
        env.get().is_some_and(|env| env.cluster_kind == ClusterKind::Kubernetes)
    });
    move || match kubernetes.get() {
        true => later::shown(|| Box::pin(later::KubernetesOverview())),
        false => later::shown(|| Box::pin(later::OverviewPage())),
    }
}

#[component(transparent)]
fn AdminRoutes() -> impl leptos_router::MatchNestedRoutes + Clone {
    view! {
        <ParentRoute path=path!("admin") view=AdminFrame>
            <Route path=path!("users") view=later!(Users) />
            <Route path=path!("sign-in") view=later!(Providers) />
            <Route path=path!("sign-in/new") view=later!(NewProvider) />
            <Route path=path!("sign-in/:provider_id") view=later!(ProviderPage) />
            <Route path=path!("environments") view=later!(EnvironmentsPage) />
            <Route path=path!("clusters") view=later!(Clusters) />
            <Route path=path!("clusters/new") view=later!(ImportClusterPage) />
            <Route path=path!("clusters/:cluster_id") view=later!(ClusterPage) />
            <Route path=path!("catalogs") view=later!(Catalogs) />
            <Route path=path!("audit") view=later!(AuditLog) />
            <Route path=path!("settings") view=later!(Settings) />
            <Route path=path!("*any") view=page(NotFound) />
        </ParentRoute>
    }
    .into_inner()
}

/// A page as a route's view: made anew when the ids in its address change, so that pages can read
/// them once.
fn page<V: IntoView + 'static>(view: fn() -> V) -> impl Fn() -> AnyView + Clone + Send + 'static {
    move || {
        // The router tells of the same ids more than once.
        let params = use_params_map();
        let params = Memo::new(move |_| params.get());
        let made = move || {
            params.track();
            untrack(view).into_any()
        };
        made.into_any()
    }
}
