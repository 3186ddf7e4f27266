//! LDAP against a real OpenLDAP server: presets, groups, TLS, fail-over, and what people type.

use std::time::{Duration, Instant};

use drover_api::{DirectorySecurity, LdapConfig, LdapPreset, TestStep, TestStepKind};
use drover_server::providers::{
    IdentityProvider, Known, PasswordDoor, Person, ProviderError, Refusal, Scheme, Steps,
    ldap::Ldap,
};
use drover_tests::{
    LDAP_PASSWORD, LDAP_SERVICE, LDAP_SUFFIX, Slapd, group_dn, group_ldif, large_company, user_dn,
    user_ldif,
};

const PASSWORD: &str = "password-of-alice";

/// Settings for LDAPS by the preset of OpenLDAP.
fn config(slapd: &Slapd) -> LdapConfig {
    preset(slapd, LdapPreset::OpenLdap)
}

fn preset(slapd: &Slapd, preset: LdapPreset) -> LdapConfig {
    let mut config = LdapConfig::preset(preset);
    config.connection.servers = vec![slapd.tls_server()];
    config.connection.ca = Some(slapd.ca("ca"));
    config.connection.connect_timeout_seconds = 2;
    config.connection.search_timeout_seconds = 5;
    config.connection.bind_dn = LDAP_SERVICE.0.into();
    config.user_base = format!("ou=people,{LDAP_SUFFIX}");
    config.group_base = format!("ou=groups,{LDAP_SUFFIX}");
    config
}

fn connect(config: &LdapConfig) -> Ldap {
    Ldap::new(config, Some(LDAP_SERVICE.1.to_owned().into())).unwrap()
}

async fn sign_in(ldap: &Ldap, login: &str, password: &str) -> Result<Person, ProviderError> {
    ldap.sign_in(login, &password.to_owned().into(), &mut Steps::begin()).await
}

async fn alice(ldap: &Ldap) -> Person {
    sign_in(ldap, "alice", PASSWORD).await.unwrap()
}

fn known(person: &Person) -> Known {
    Known { id: person.id.clone(), login: person.login.clone(), credential: None }
}

fn names(person: &Person) -> Vec<&str> {
    let mut names: Vec<_> = person.groups.iter().map(|group| group.name.as_str()).collect();
    names.sort_unstable();
    names
}

async fn probe(config: &LdapConfig) -> (Result<(), ProviderError>, Vec<TestStep>) {
    let mut steps = Steps::begin();
    let result = connect(config).probe(&mut steps).await;
    (result, steps.into_steps())
}

/// The step that failed.
async fn trouble(config: &LdapConfig) -> (ProviderError, TestStep) {
    let (result, mut steps) = probe(config).await;
    let last = steps.pop().unwrap();
    assert!(!last.ok && steps.iter().all(|step| step.ok), "{steps:?} {last:?}");
    (result.unwrap_err(), last)
}

#[tokio::test]
async fn a_person_signs_in_with_their_groups() {
    let slapd = Slapd::start().await;
    let dn = slapd.add_user("alice", PASSWORD);
    slapd.add_user("bob", "another password");
    let team = slapd.add_group("team", &[&dn]);
    slapd.add_group("others", &[&user_dn("bob")]);
    slapd.add_group("company", &[&team]);
    let ldap = connect(&config(&slapd));

    let mut steps = Steps::begin();
    let person = ldap.sign_in("alice", &PASSWORD.to_owned().into(), &mut steps).await.unwrap();
    assert_eq!(person.login, "alice");
    assert_eq!(person.display_name, "alice Example");
    assert_eq!(person.email.as_deref(), Some("alice@example.test"));
    assert_eq!(person.detail.as_deref(), Some(&*dn));
    assert_eq!(person.id.len(), 36, "the entryUUID: {}", person.id);
    assert_eq!(names(&person), ["company", "team"]);
    assert!(person.groups.iter().all(|group| group.id.len() == 36));
    let steps = steps.into_steps();
    let kinds: Vec<_> = steps.iter().map(|step| step.step).collect();
    use TestStepKind::{Bind, Connection, Groups, Tls, UserBind, UserSearch};
    assert_eq!(kinds, [Connection, Tls, Bind, UserSearch, UserBind, Groups]);
    assert_eq!(steps[5].message, "2 groups, 1 of them through other groups.");

    // A login matches as the directory compares it, and comes back as it is there.
    assert_eq!(sign_in(&ldap, " ALICE ", PASSWORD).await.unwrap(), person);
    assert_eq!(ldap.refresh(&known(&person)).await.unwrap(), person);
}

#[tokio::test]
async fn what_is_typed_is_a_value_and_nothing_else() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    slapd.add_user("x(y", PASSWORD);
    let ldap = connect(&config(&slapd));
    let wrong = [
        ("alice", "not this one"),
        ("nobody", PASSWORD),
        ("*", PASSWORD),
        ("a*", PASSWORD),
        ("*)(uid=*", PASSWORD),
        (")(uid=*", PASSWORD),
        ("alice)(uid=alice", PASSWORD),
        ("alice\\2a", PASSWORD),
        ("alice\0", PASSWORD),
        ("", PASSWORD),
        ("alice", "*"),
        ("alice", ""),
        ("nobody", ""),
    ];
    for (login, password) in wrong {
        let error = sign_in(&ldap, login, password).await.unwrap_err();
        assert_eq!(error, ProviderError::WrongCredentials, "{login} {password}");
    }
    let long = sign_in(&ldap, &"a".repeat(100_000), PASSWORD).await.unwrap_err();
    assert_eq!(long, ProviderError::WrongCredentials);
    assert_eq!(sign_in(&ldap, "x(y", PASSWORD).await.unwrap().login, "x(y");
    alice(&ldap).await;
    assert_eq!(ldap.search("*", 10).await.unwrap(), Some(Vec::new()));
    assert_eq!(ldap.find(Scheme::User, "*").await.unwrap(), None);
}

#[tokio::test]
async fn an_empty_password_does_not_reach_the_directory() {
    let mut slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    let ldap = connect(&config(&slapd));
    slapd.stop().await;
    let error = sign_in(&ldap, "alice", "").await.unwrap_err();
    assert_eq!(error, ProviderError::WrongCredentials, "it has asked a directory that is down");
    let config = config(&slapd);
    for secret in [None, Some(String::new().into())] {
        let error = Ldap::new(&config, secret).err().unwrap();
        assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
    }
}

#[tokio::test]
async fn two_people_with_one_login_are_refused() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    let entry = user_ldif("alice", PASSWORD).replacen("uid=alice,", "cn=alice Example,", 1);
    slapd.change(&entry);
    let error = sign_in(&connect(&config(&slapd)), "alice", PASSWORD).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Misconfigured(text) if text.contains("Several")));
}

#[tokio::test]
async fn each_preset_reads_its_product() {
    let slapd = Slapd::start().await;
    let dn = user_dn("alice");
    let person = |id: &str| {
        format!(
            "dn: {dn}\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\nobjectClass: \
             otherDirectory\nuid: alice\ncn: Alice\nsn: A\nuidNumber: 1000\ngidNumber: \
             700\nhomeDirectory: /home/alice\nuserPassword: {PASSWORD}\n{id}\n\n"
        )
    };
    slapd.change(&person("ipaUniqueID: ipa-1\nnsUniqueId: ds-1"));
    slapd.change(&format!(
        "{}objectClass: ipausergroup\nobjectClass: otherDirectory\nipaUniqueID: ipa-g\nnsUniqueId: \
         ds-g\n",
        group_ldif("team", &[&dn]).trim_end().to_owned() + "\n"
    ));
    let posix = |name: &str, number: u32, member: &str| {
        format!(
            "dn: {}\nobjectClass: posixGroup\ncn: {name}\ngidNumber: {number}\n{member}\n\n",
            group_dn(name)
        )
    };
    slapd.change(&posix("unix", 500, "memberUid: alice"));
    slapd.change(&posix("primary", 700, ""));
    slapd.change(&posix("foreign", 701, "memberUid: bob"));

    let open_ldap = alice(&connect(&config(&slapd))).await;
    assert_eq!(names(&open_ldap), ["primary", "team", "unix"]);

    let config = preset(&slapd, LdapPreset::FreeIpa);
    let free_ipa = connect(&config);
    let person = alice(&free_ipa).await;
    assert_eq!((person.id.as_str(), names(&person)), ("ipa-1", vec!["team"]));
    assert_eq!(person.groups[0].id, "ipa-g");

    // Groups without the id attribute go by their DN.
    let ds389 = connect(&preset(&slapd, LdapPreset::Ds389));
    let person = alice(&ds389).await;
    assert_eq!((person.id.as_str(), names(&person)), ("ds-1", vec!["primary", "team", "unix"]));
    let unix = person.groups.iter().find(|group| group.name == "unix").unwrap();
    assert_eq!(unix.id, group_dn("unix"));
    assert_eq!(ds389.find(Scheme::Group, &unix.id).await.unwrap().as_ref(), Some(unix));
    assert_eq!(ds389.find(Scheme::Group, &dn).await.unwrap(), None, "a person is no group");

    slapd.replace(&dn, "nsAccountLock", &["TRUE"]);
    let disabled = ProviderError::Refused(Refusal::Disabled);
    assert_eq!(sign_in(&free_ipa, "alice", PASSWORD).await.unwrap_err(), disabled);
}

#[tokio::test]
async fn groups_are_read_from_member_of_alone() {
    let slapd = Slapd::start().await;
    let dn = slapd.add_user("alice", PASSWORD);
    let team = slapd.add_group("team", &[&dn]);
    slapd.add_group("company", &[&team]);
    slapd.change(&format!(
        "dn: cn=elsewhere,{LDAP_SUFFIX}\nobjectClass: groupOfNames\ncn: elsewhere\nmember: {dn}\n"
    ));
    let mut config = config(&slapd);
    config.user_member_of_attribute = "memberOf".into();
    config.group_member_attribute = String::new();
    config.group_member_uid_attribute = String::new();
    assert_eq!(names(&alice(&connect(&config)).await), ["company", "team"]);
    config.nested_groups = false;
    assert_eq!(names(&alice(&connect(&config)).await), ["team"]);
}

#[tokio::test]
async fn nested_groups_and_loops_end() {
    let slapd = Slapd::start().await;
    let dn = slapd.add_user("alice", PASSWORD);
    slapd.add_group("g1", &[&dn, &group_dn("g5")]);
    for level in 2..=5 {
        slapd.add_group(&format!("g{level}"), &[&group_dn(&format!("g{}", level - 1))]);
    }
    slapd.add_group("self", &[&dn, &group_dn("self")]);
    // Names that mean something in DNs and filters.
    let strange = format!("cn=a\\, (b) * \\+ \\\"c\\\" é,ou=groups,{LDAP_SUFFIX}");
    let above = format!("cn=above,{strange}");
    for (dn, name, member) in [(&strange, "a, (b) * + \"c\" é", &dn), (&above, "above", &strange)]
    {
        slapd.change(&format!(
            "dn: {dn}\nobjectClass: groupOfNames\ncn: {name}\nmember: {member}\n"
        ));
    }
    let mut config = config(&slapd);
    let ldap = connect(&config);
    let person = alice(&ldap).await;
    assert_eq!(person.groups.len(), 8, "{:?}", names(&person));
    assert!(person.groups.iter().any(|group| group.name == "a, (b) * + \"c\" é"));
    config.nested_groups = false;
    assert_eq!(alice(&connect(&config)).await.groups.len(), 3);

    slapd.replace(&group_dn("g1"), "member", &[&group_dn("g5")]);
    let person = ldap.refresh(&known(&person)).await.unwrap();
    assert_eq!(person.groups.len(), 3, "the person's own groups are never remembered");
}

#[tokio::test]
async fn large_groups_and_many_groups() {
    let mut ldif = user_ldif("alice", PASSWORD);
    let mut members: Vec<String> = (0..4999).map(|n| user_dn(&format!("user{n}"))).collect();
    members.push(user_dn("alice"));
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    ldif.push_str(&group_ldif("everybody", &members));
    for n in 0..1200 {
        ldif.push_str(&group_ldif(&format!("team{n}"), &[&user_dn("alice")]));
    }
    ldif.push_str(&group_ldif("above", &[&group_dn("everybody")]));
    let slapd = Slapd::start_with("server", &ldif).await;
    let ldap = connect(&config(&slapd));
    let person = alice(&ldap).await;
    assert_eq!(person.groups.len(), 1202, "more than the server gives at once");
    let found = ldap.search("team", 50).await.unwrap().unwrap();
    assert_eq!(found.len(), 50);
    let known = known(&person);
    let (one, other) = tokio::join!(ldap.refresh(&known), ldap.refresh(&known));
    assert_eq!((one.unwrap().groups.len(), other.unwrap().groups.len()), (1202, 1202));
}

#[tokio::test]
async fn searching_finds_users_and_groups_that_one_is_not_in() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    let bob = slapd.add_user("bob", PASSWORD);
    slapd.add_group("lice-team", &[&bob]);
    let ldap = connect(&config(&slapd));
    let found = ldap.search("LICE", 20).await.unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|named| (named.scheme, named.name.as_str())).collect();
    assert_eq!(found, [(Scheme::User, "alice Example"), (Scheme::Group, "lice-team")]);
    let named = ldap.search("bob", 20).await.unwrap().unwrap().remove(0);
    assert_eq!(named.login.as_deref(), Some("bob"));
    assert_eq!(ldap.find(Scheme::User, &named.id).await.unwrap(), Some(named.clone()));
    assert_eq!(ldap.find(Scheme::Group, &named.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_renamed_person_stays_the_same_and_a_removed_one_is_gone() {
    let slapd = Slapd::start().await;
    let dn = slapd.add_user("alice", PASSWORD);
    slapd.add_group("team", &[&dn]);
    let ldap = connect(&config(&slapd));
    let before = alice(&ldap).await;
    slapd.change(&format!(
        "dn: ou=moved,ou=people,{LDAP_SUFFIX}\nobjectClass: organizationalUnit\nou: moved\n"
    ));
    slapd.change(&format!(
        "dn: {dn}\nchangetype: modrdn\nnewrdn: uid=alicia\ndeleteoldrdn: 1\nnewsuperior: \
         ou=moved,ou=people,{LDAP_SUFFIX}\n"
    ));
    let moved = format!("uid=alicia,ou=moved,ou=people,{LDAP_SUFFIX}");
    slapd.replace(&group_dn("team"), "member", &[&moved]);
    let after = ldap.refresh(&known(&before)).await.unwrap();
    assert_eq!((after.id.as_str(), after.login.as_str()), (before.id.as_str(), "alicia"));
    assert_eq!(names(&after), ["team"]);
    assert_eq!(sign_in(&ldap, "alicia", PASSWORD).await.unwrap(), after);

    slapd.delete(&moved);
    assert_eq!(ldap.refresh(&known(&before)).await.unwrap_err(), ProviderError::Gone);
    // A new account of the old name is somebody else.
    slapd.add_user("alice", PASSWORD);
    assert_ne!(alice(&ldap).await.id, before.id);
    assert_eq!(ldap.refresh(&known(&before)).await.unwrap_err(), ProviderError::Gone);
}

#[tokio::test]
async fn a_directory_that_was_down_is_found_again() {
    let mut slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    slapd.stop().await;
    let ldap = connect(&config(&slapd));
    let error = sign_in(&ldap, "alice", PASSWORD).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
    slapd.run().await;
    let person = alice(&ldap).await;

    slapd.stop().await;
    let error = ldap.refresh(&known(&person)).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
    slapd.run().await;
    ldap.refresh(&known(&person)).await.unwrap();
    alice(&ldap).await;
    // Back before anybody has noticed that it was gone.
    slapd.stop().await;
    slapd.run().await;
    alice(&ldap).await;
}

#[tokio::test]
async fn the_next_server_takes_over() {
    let mut first = Slapd::start().await;
    let second = Slapd::start().await;
    for slapd in [&first, &second] {
        slapd.add_user("alice", PASSWORD);
    }
    let mut config = config(&first);
    config.connection.servers.push(second.tls_server());
    config.connection.search_timeout_seconds = 3;
    let ca = format!("{}{}", first.ca("ca"), second.ca("ca"));
    config.connection.ca = Some(ca);
    let ldap = connect(&config);
    let on_first = alice(&ldap).await.id;
    // One that hangs costs the time for one search.
    first.freeze();
    let start = Instant::now();
    let on_second = alice(&ldap).await.id;
    assert_ne!(on_first, on_second);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    first.go_on();
    first.stop().await;
    let (result, steps) = probe(&config).await;
    result.unwrap();
    assert!(steps[0].message.contains("refuses the connection"), "{:?}", steps[0]);
}

#[tokio::test]
async fn a_directory_that_hangs_is_not_waited_for_longer_than_said() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    let mut config = config(&slapd);
    config.connection.connect_timeout_seconds = 1;
    config.connection.search_timeout_seconds = 1;
    let ldap = connect(&config);
    alice(&ldap).await;
    slapd.freeze();
    let start = Instant::now();
    let attempts = (0..20).map(|_| sign_in(&ldap, "alice", PASSWORD));
    for result in futures_util::future::join_all(attempts).await {
        assert!(matches!(result.unwrap_err(), ProviderError::Unavailable(_)));
    }
    let took = start.elapsed();
    slapd.go_on();
    assert!(took < Duration::from_secs(6), "those who wait share one answer: {took:?}");
    alice(&ldap).await;
}

#[tokio::test]
async fn every_way_to_connect() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    let ways = [
        (DirectorySecurity::Ldaps, slapd.tls_server(), "TLS is on"),
        (DirectorySecurity::StartTls, slapd.server(), "StartTLS went well"),
        (DirectorySecurity::Plain, slapd.server(), "No TLS"),
    ];
    for (security, server, note) in ways {
        let mut config = config(&slapd);
        config.connection.security = security;
        config.connection.servers = vec![server.replace("127.0.0.1", "localhost")];
        alice(&connect(&config)).await;
        let (result, steps) = probe(&config).await;
        result.unwrap();
        assert!(steps[1].message.starts_with(note), "{:?}", steps[1]);
        assert_eq!(steps[3].message, format!("Found 1 people under ou=people,{LDAP_SUFFIX}."));
    }
    // The wrong way for a port.
    let mut config = config(&slapd);
    config.connection.servers = vec![slapd.server()];
    let (_, step) = trouble(&config).await;
    assert_eq!(step.step, TestStepKind::Tls);
}

#[tokio::test]
async fn certificates_that_nobody_should_trust() {
    let mut slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    slapd.certificates.expired("expired", "ca", "IP:127.0.0.1");
    slapd.certificates.self_signed("self-signed", "IP:127.0.0.1");
    let cases = [
        ("server", "other-ca", "not from an authority"),
        ("expired", "ca", "has expired"),
        ("self-signed", "ca", "self-signed"),
        ("misnamed", "ca", "another name"),
        ("ca", "ca", "an authority's at once"),
    ];
    for (certificate, ca, advice) in cases {
        slapd.stop().await;
        slapd.configure(certificate);
        slapd.run().await;
        for security in [DirectorySecurity::Ldaps, DirectorySecurity::StartTls] {
            let mut config = config(&slapd);
            config.connection.ca = Some(slapd.ca(ca));
            config.connection.security = security;
            if security == DirectorySecurity::StartTls {
                config.connection.servers = vec![slapd.server()];
            }
            let (error, step) = trouble(&config).await;
            assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
            assert_eq!(step.step, TestStepKind::Tls);
            assert!(step.message.contains(advice), "{certificate}: {step:?}");
            assert!(step.detail.is_some());
            let error = sign_in(&connect(&config), "alice", PASSWORD).await.unwrap_err();
            assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_test_says_what_is_wrong_and_what_to_do() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    let good = config(&slapd);

    let mut steps = Steps::begin();
    let wrong = Ldap::new(&good, Some("wrong-service-password".to_owned().into())).unwrap();
    let error = wrong.probe(&mut steps).await.unwrap_err();
    let step = steps.into_steps().pop().unwrap();
    assert!(matches!(&error, ProviderError::Misconfigured(_)), "{error:?}");
    assert_eq!(step.step, TestStepKind::Bind);
    assert!(step.message.contains("check its name and password"), "{step:?}");
    assert!(step.detail.unwrap().contains("invalidCredentials"));
    assert!(!format!("{error:?}").contains("wrong-service-password"));

    let mut config = good.clone();
    config.user_base = "ou=nowhere,dc=example,dc=test".into();
    let (error, step) = trouble(&config).await;
    assert!(matches!(error, ProviderError::Misconfigured(_)));
    assert_eq!(step.step, TestStepKind::UserSearch);
    assert!(step.message.contains("ou=nowhere"), "{step:?}");

    let mut config = good.clone();
    config.user_object_class = "account".into();
    let (_, step) = trouble(&config).await;
    assert!(step.message.contains("no people"), "{step:?}");

    let mut config = good.clone();
    config.id_attribute = "employeeNumber".into();
    let mut steps = Steps::begin();
    let secret = PASSWORD.to_owned().into();
    let error = connect(&config).sign_in("alice", &secret, &mut steps).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::Misconfigured(text) if text.contains("employeeNumber"))
    );

    let mut config = good.clone();
    config.connection.servers = vec!["127.0.0.1:1".into()];
    let (error, step) = trouble(&config).await;
    assert!(matches!(error, ProviderError::Unavailable(_)));
    assert_eq!(step.step, TestStepKind::Connection);
    assert!(step.message.contains("refuses the connection"), "{step:?}");

    // The administrator who tests a sign-in is told which part was wrong.
    for (login, password, failed) in
        [("nobody", PASSWORD, TestStepKind::UserSearch), ("alice", "wrong", TestStepKind::UserBind)]
    {
        let mut steps = Steps::begin();
        let secret = password.to_owned().into();
        connect(&good).sign_in(login, &secret, &mut steps).await.unwrap_err();
        assert!(steps.has_failed());
        assert_eq!(steps.into_steps().pop().unwrap().step, failed);
    }
}

#[tokio::test]
async fn referrals_are_reported_and_not_followed() {
    let slapd = Slapd::start().await;
    slapd.add_user("alice", PASSWORD);
    // Whoever followed it would hang on a port that answers nothing, or fail.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = trap.local_addr().unwrap().port();
    slapd.change(&format!(
        "dn: ou=away,ou=people,{LDAP_SUFFIX}\nobjectClass: referral\nobjectClass: \
         extensibleObject\nou: away\nref: ldap://127.0.0.1:{port}/ou=away,{LDAP_SUFFIX}\n"
    ));
    let config = config(&slapd);
    alice(&connect(&config)).await;
    let (result, steps) = probe(&config).await;
    result.unwrap();
    assert!(steps[3].message.contains("1 referrals"), "{:?}", steps[3]);
    trap.set_nonblocking(true).unwrap();
    assert!(trap.accept().is_err(), "a referral was followed");

    let mut away = config.clone();
    away.user_base = format!("ou=away,ou=people,{LDAP_SUFFIX}");
    let (error, step) = trouble(&away).await;
    assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
    assert!(step.message.contains("does not follow referrals"), "{step:?}");
    assert!(trap.accept().is_err(), "a referral was followed");
}

/// 10,000 people, 1,000 groups nested 5 deep: what the benchmark measures, here with room.
#[tokio::test(flavor = "multi_thread")]
async fn many_people_at_once() {
    let slapd = Slapd::start_with("server", &large_company()).await;
    let ldap = connect(&config(&slapd));
    let warm = sign_in(&ldap, "user1", LDAP_PASSWORD).await.unwrap();
    assert_eq!(warm.groups.len(), 5);
    let start = Instant::now();
    for _ in 0..20 {
        sign_in(&ldap, "user1", LDAP_PASSWORD).await.unwrap();
    }
    let one = start.elapsed() / 20;
    let start = Instant::now();
    let logins: Vec<String> = (0..1000).map(|n| format!("user{}", n * 7)).collect();
    for some in logins.chunks(50) {
        let people = some.iter().map(|login| sign_in(&ldap, login, LDAP_PASSWORD));
        for person in futures_util::future::join_all(people).await {
            assert_eq!(person.unwrap().groups.len(), 5);
        }
    }
    let rate = 1000.0 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let known = known(&warm);
    for _ in 0..100 {
        let people = (0..10).map(|_| ldap.refresh(&known));
        for person in futures_util::future::join_all(people).await {
            assert_eq!(person.unwrap().groups.len(), 5);
        }
    }
    let refresh = start.elapsed();
    println!("one sign-in {one:?}, {rate:.0} sign-ins a second, 1,000 refreshed in {refresh:?}");
    assert!(rate > 50.0, "{rate} sign-ins a second");
    assert!(refresh < Duration::from_secs(30), "1,000 refreshed in {refresh:?}");
}
