//! Pages that are not in the app's first file: each group of them is a WebAssembly module of its
//! own, which `xtask` cuts out and which is fetched when a page of it is first opened.
//!
//! What one group alone uses goes with it; what several use goes into files that they share. So
//! there are few groups: each more of them makes more such files.

use std::{future::Future, pin::Pin};

use leptos::{prelude::*, task::spawn_local, wasm_split::SplitLoaderError};

use crate::{api::ApiError, components::*, i18n::t};

/// Makes a page's view.
pub type Make = fn() -> AnyView;

/// A page's module on its way.
pub type Loading = Pin<Box<dyn Future<Output = Result<Make, SplitLoaderError>>>>;

/// Declares the pages: `group: Page, …;`. Each becomes a function that fetches it.
macro_rules! groups {
    ($($group:ident: $($page:ident),+;)+) => {$($(
        #[leptos::wasm_split::wasm_split($group, wasm_split_path = ::leptos::wasm_split, fallible)]
        #[allow(non_snake_case)]
        pub fn $page() -> Result<Make, SplitLoaderError> {
            Ok(|| crate::pages::$page().into_any())
        }
    )+)+};
}

groups! {
    environment: OverviewPage, Stacks, StackPage, ServicePage, Containers, ContainerPage, Hosts,
        HostPage, Operations, OperationPage;
    apps: AddHost, RegistrationTokens, NewStack, UpgradePage, CatalogPage, TemplatePage, SecretsPage, Members,
        EnvironmentSettings;
    swarm: SwarmPage, SwarmNodePage, SwarmServicePage;
    kubernetes: KubernetesOverview, KubernetesBrowser, KubernetesStart, KubernetesList, KubernetesObject,
        KubernetesCreate, KubernetesKubectl, KubernetesLimits, Clusters, ImportClusterPage, ClusterPage;
    administration: Profile, Password, ApiKeys, Users, Providers, NewProvider, ProviderPage,
        EnvironmentsPage, Catalogs, AuditLog, Settings;
}

/// The page, once its module is there.
pub fn shown(load: fn() -> Loading) -> AnyView {
    let made = RwSignal::new(None::<Result<Make, ()>>);
    let fetch = move || {
        made.set(None);
        spawn_local(async move {
            // Said in words on the page; the browser's console has the details.
            let loaded = load().await.map_err(drop);
            // The page may have been left meanwhile.
            made.try_set(Some(loaded));
        });
    };
    fetch();
    (move || match made.get() {
        None => view! { <Skeleton /> }.into_any(),
        Some(Ok(make)) => untrack(make),
        Some(Err(())) => {
            let error = ApiError::new("module", t().error.module);
            view! { <ProblemCard error=error on_retry=move |()| fetch() /> }.into_any()
        }
    })
    .into_any()
}
