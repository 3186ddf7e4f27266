//! A shell that is open while its user leaves the group.

use std::time::Duration;

use drover_api::{Container, List, Role};
use drover_tests::{Docker, TestServer, eventually, group_dn};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use uuid::Uuid;

use super::company::{Company, SOON};

#[tokio::test]
async fn a_shell_closes_when_its_user_leaves_the_group() {
    let docker = Docker::start().await;
    let server = TestServer::builder().docker().start().await;
    let company = Company::connected_to(server).await;
    company.give_group("developers", Role::Restricted).await;
    let label = format!("drover-test={}", Uuid::now_v7().simple());
    let name = format!("left-{}", Uuid::now_v7().simple());
    docker.run(&["run", "-d", "--label", &label, "--name", &name, "drover-test/sleep:1"]);
    let list = format!("/v1/environments/{}/containers?q={name}", company.environment);
    let container = eventually("the container is shown", Duration::from_secs(20), async || {
        let found: List<Container> = company.admin.get(&list).await.expect(200).json();
        found.items.into_iter().next()
    })
    .await;

    let bob = company.sign_in("bob").await;
    let (made, _) = company.server.key(&bob, None, None).await;
    let url = format!(
        "{}/v1/environments/{}/hosts/{}/containers/{}/exec/ws",
        company.server.base().replacen("http", "ws", 1),
        company.environment,
        container.host_id,
        container.id
    );
    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {}", made.token).parse().unwrap());
    let (mut shell, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    company.slapd.delete(&group_dn("developers"));
    company.refresh().await;
    let ended = async {
        let mut said = String::new();
        while let Some(Ok(message)) = shell.next().await {
            match message {
                Message::Text(text) => said.push_str(&text),
                Message::Close(_) => break,
                _ => {}
            }
        }
        said
    };
    let said = tokio::time::timeout(SOON, ended).await.expect("the shell stays open");
    assert!(said.contains("access"), "{said}");
    docker.clean(&label);
}
