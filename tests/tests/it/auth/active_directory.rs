//! Active Directory against a real Samba domain controller.

use drover_api::{ActiveDirectoryConfig, DirectorySecurity, TestStepKind};
use drover_server::providers::{
    IdentityProvider, Known, PasswordDoor, Person, ProviderError, Refusal, Scheme, Steps,
    active_directory::ActiveDirectory,
};
use drover_tests::Samba;

const PASSWORD: &str = "Passw0rd-of-alice";

fn config(samba: &Samba) -> ActiveDirectoryConfig {
    let mut config = ActiveDirectoryConfig::new();
    config.connection.servers = vec![samba.address.clone()];
    config.connection.ca = Some(samba.ca());
    config.connection.bind_dn = format!("{}\\Administrator", Samba::DOMAIN);
    config.user_base = Samba::BASE.into();
    config.default_domain = Samba::DOMAIN.into();
    config.dns_domain = Samba::DNS_DOMAIN.into();
    config
}

fn connect(samba: &Samba, config: &ActiveDirectoryConfig) -> ActiveDirectory {
    ActiveDirectory::new(config, Some(samba.password.clone().into())).unwrap()
}

async fn sign_in(
    directory: &ActiveDirectory,
    login: &str,
    password: &str,
) -> Result<Person, ProviderError> {
    directory.sign_in(login, &password.to_owned().into(), &mut Steps::begin()).await
}

async fn refused(directory: &ActiveDirectory, login: &str) -> ProviderError {
    sign_in(directory, login, PASSWORD).await.unwrap_err()
}

fn known(person: &Person) -> Known {
    Known { id: person.id.clone(), login: person.login.clone(), credential: None }
}

fn has(person: &Person, group: &str) -> bool {
    person.groups.iter().any(|named| named.name == group)
}

#[tokio::test]
async fn every_way_to_write_a_login() {
    let samba = Samba::new();
    let login = samba.name("alice");
    let dn = samba.add_user(&login, PASSWORD);
    let directory = connect(&samba, &config(&samba));
    let person = sign_in(&directory, &login, PASSWORD).await.unwrap();
    assert_eq!(person.login, login);
    assert_eq!(person.display_name, format!("{login} Example"));
    assert_eq!(person.email, Some(format!("{login}@mail.test")));
    assert_eq!(person.detail.as_deref(), Some(&*dn));
    let dashes = person.id.bytes().filter(|byte| *byte == b'-').count();
    assert_eq!((person.id.len(), dashes), (36, 4), "a GUID: {}", person.id);
    for typed in [
        login.to_uppercase(),
        format!("EXAMPLE\\{login}"),
        format!("example\\{login}"),
        format!("example.test\\{login}"),
        format!("{login}@example.test"),
        format!("{login}@EXAMPLE.TEST"),
    ] {
        assert_eq!(sign_in(&directory, &typed, PASSWORD).await.as_ref(), Ok(&person), "{typed}");
    }
    // A UPN need not be the login.
    samba.replace(&dn, "userPrincipalName", &[&format!("{login}.other@mail.test")]);
    for typed in [format!("{login}.other@mail.test"), format!("{login}@example.test")] {
        assert_eq!(sign_in(&directory, &typed, PASSWORD).await.as_ref(), Ok(&person), "{typed}");
    }
    for typed in [
        format!("OTHER\\{login}"),
        format!("other.test\\{login}"),
        format!("{login}@other.test"),
        format!("\\{login}"),
        format!("{login}@"),
        "*".into(),
        ")(sAMAccountName=*".into(),
        format!("*\\{login}"),
        format!("{login}*"),
    ] {
        assert_eq!(refused(&directory, &typed).await, ProviderError::WrongCredentials, "{typed}");
    }
    for password in ["", "wrong"] {
        let error = sign_in(&directory, &login, password).await.unwrap_err();
        assert_eq!(error, ProviderError::WrongCredentials);
    }
    // The directory itself says where a domain is when the settings do not.
    let mut unsaid = config(&samba);
    unsaid.default_domain = String::new();
    unsaid.dns_domain = String::new();
    let directory = connect(&samba, &unsaid);
    for _ in 0..2 {
        let typed = format!("EXAMPLE\\{login}");
        assert_eq!(sign_in(&directory, &typed, PASSWORD).await.as_ref(), Ok(&person));
    }
    assert_eq!(
        refused(&directory, &format!("OTHER\\{login}")).await,
        ProviderError::WrongCredentials
    );
}

#[tokio::test]
async fn groups_in_groups_and_the_primary_group() {
    let samba = Samba::new();
    let login = samba.name("bob");
    let dn = samba.add_user(&login, PASSWORD);
    let [team, unit, company, other] =
        ["team", "unit", "company", "other"].map(|word| samba.name(word));
    let team_dn = samba.add_group(&team, &[&dn]);
    let unit_dn = samba.add_group(&unit, &[&team_dn]);
    let company_dn = samba.add_group(&company, &[&unit_dn]);
    samba.add_value(&team_dn, "member", &company_dn);
    let other_dn = samba.add_group(&other, &[]);

    let mut settings = config(&samba);
    let directory = connect(&samba, &settings);
    let mut steps = Steps::begin();
    let person = directory.sign_in(&login, &PASSWORD.to_owned().into(), &mut steps).await.unwrap();
    for group in [&team, &unit, &company] {
        assert!(has(&person, group), "{group}: {:?}", person.groups);
    }
    assert!(has(&person, "Domain Users"), "the primary group: {:?}", person.groups);
    assert!(has(&person, "Users"), "what is above the primary group: {:?}", person.groups);
    assert!(!has(&person, &other));
    let note = steps.into_steps().pop().unwrap().message;
    assert_eq!(note, "5 groups, 3 of them through other groups.");

    settings.nested_groups = false;
    let flat = sign_in(&connect(&samba, &settings), &login, PASSWORD).await.unwrap();
    assert!(has(&flat, &team) && has(&flat, "Domain Users"));
    assert_eq!(flat.groups.len(), 2, "{:?}", flat.groups);

    // The primary group can be any that one is in.
    samba.add_value(&other_dn, "member", &dn);
    let found = directory.search(&other, 5).await.unwrap().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].scheme, Scheme::Group);
    assert_eq!(
        directory.find(Scheme::Group, &found[0].id).await.unwrap().as_ref(),
        Some(&found[0])
    );
    let person = directory.refresh(&known(&person)).await.unwrap();
    assert!(has(&person, &other));
    samba.change(&format!("dn: {team_dn}\nchangetype: modify\ndelete: member\nmember: {dn}\n"));
    let person = directory.refresh(&known(&person)).await.unwrap();
    assert!(!has(&person, &team) && !has(&person, &company), "{:?}", person.groups);
}

#[tokio::test]
async fn a_renamed_person_stays_the_same_and_a_removed_one_is_gone() {
    let samba = Samba::new();
    let (login, renamed) = (samba.name("carol"), samba.name("caro"));
    let dn = samba.add_user(&login, PASSWORD);
    let directory = connect(&samba, &config(&samba));
    let before = sign_in(&directory, &login, PASSWORD).await.unwrap();
    let unit = format!("OU={renamed},{}", Samba::BASE);
    samba.change(&format!("dn: {unit}\nobjectClass: organizationalUnit\n"));
    samba.change(&format!(
        "dn: {dn}\nchangetype: modrdn\nnewrdn: CN={renamed}\ndeleteoldrdn: 1\nnewsuperior: {unit}\n"
    ));
    let moved = format!("CN={renamed},{unit}");
    samba.replace(&moved, "sAMAccountName", &[&renamed]);
    let after = directory.refresh(&known(&before)).await.unwrap();
    assert_eq!((&after.id, &after.login), (&before.id, &renamed));
    assert_eq!(after.detail, Some(moved.clone()));
    assert_eq!(sign_in(&directory, &renamed, PASSWORD).await.unwrap(), after);
    samba.delete(&moved);
    assert_eq!(directory.refresh(&known(&before)).await.unwrap_err(), ProviderError::Gone);
    samba.add_user(&login, PASSWORD);
    assert_ne!(sign_in(&directory, &login, PASSWORD).await.unwrap().id, before.id);
}

#[tokio::test]
async fn accounts_that_the_directory_refuses() {
    let samba = Samba::new();
    let directory = connect(&samba, &config(&samba));
    let cases = [
        ("disabled", "userAccountControl", "514", Refusal::Disabled),
        // 2001.
        ("expired", "accountExpires", "126227808000000000", Refusal::Expired),
        ("change", "pwdLastSet", "0", Refusal::PasswordExpired),
    ];
    for (word, attribute, value, refusal) in cases {
        let login = samba.name(word);
        let dn = samba.add_user(&login, PASSWORD);
        let person = sign_in(&directory, &login, PASSWORD).await.unwrap();
        samba.replace(&dn, attribute, &[value]);
        assert_eq!(refused(&directory, &login).await, ProviderError::Refused(refusal), "{word}");
        let error = directory.refresh(&known(&person)).await.unwrap_err();
        assert_eq!(error, ProviderError::Refused(refusal), "{word}");
    }

    let login = samba.name("locked");
    samba.add_user(&login, PASSWORD);
    let person = sign_in(&directory, &login, PASSWORD).await.unwrap();
    for _ in 0..Samba::WRONG_PASSWORDS {
        let error = sign_in(&directory, &login, "wrong").await.unwrap_err();
        assert_eq!(error, ProviderError::WrongCredentials);
    }
    let locked = ProviderError::Refused(Refusal::Locked);
    assert_eq!(refused(&directory, &login).await, locked);
    assert_eq!(directory.refresh(&known(&person)).await.unwrap_err(), locked);
}

#[tokio::test]
async fn the_global_catalog_and_start_tls() {
    let samba = Samba::new();
    let login = samba.name("dave");
    samba.add_user(&login, PASSWORD);
    let person = sign_in(&connect(&samba, &config(&samba)), &login, PASSWORD).await.unwrap();
    for (catalog, security) in [
        (true, DirectorySecurity::Ldaps),
        (true, DirectorySecurity::StartTls),
        (false, DirectorySecurity::StartTls),
    ] {
        let mut config = config(&samba);
        config.global_catalog = catalog;
        config.connection.security = security;
        let directory = connect(&samba, &config);
        let found = sign_in(&directory, &login, PASSWORD).await.unwrap();
        assert_eq!(found.id, person.id);
        let port = match (catalog, security) {
            (true, DirectorySecurity::Ldaps) => ":3269",
            (true, _) => ":3268",
            (false, _) => ":389",
        };
        let mut steps = Steps::begin();
        directory.probe(&mut steps).await.unwrap();
        let steps = steps.into_steps();
        assert!(steps[0].message.contains(port), "{:?}", steps[0]);
        assert!(steps.iter().all(|step| step.ok));
    }
}

#[tokio::test]
async fn a_test_says_what_is_wrong_and_what_to_do() {
    let samba = Samba::new();
    let mut steps = Steps::begin();
    let wrong = ActiveDirectory::new(&config(&samba), Some("wrong".to_owned().into())).unwrap();
    let error = wrong.probe(&mut steps).await.unwrap_err();
    assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
    let step = steps.into_steps().pop().unwrap();
    assert_eq!(step.step, TestStepKind::Bind);
    assert!(step.detail.as_ref().unwrap().contains("52e"), "{step:?}");

    let mut plain = config(&samba);
    plain.connection.security = DirectorySecurity::Plain;
    let mut steps = Steps::begin();
    let error = connect(&samba, &plain).probe(&mut steps).await.unwrap_err();
    assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
    let step = steps.into_steps().pop().unwrap();
    assert!(step.message.contains("only through TLS"), "{step:?}");

    let mut untrusted = config(&samba);
    untrusted.connection.ca = None;
    let mut steps = Steps::begin();
    connect(&samba, &untrusted).probe(&mut steps).await.unwrap_err();
    let step = steps.into_steps().pop().unwrap();
    assert_eq!(step.step, TestStepKind::Tls);
    assert!(step.message.contains("Enter the PEM certificate"), "{step:?}");
}
