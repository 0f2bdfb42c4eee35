use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;

/// A project's folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join("shop").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read_in(folder: &TempDir, names: &[&str]) -> Result<Composition, ComposeError> {
    let paths: Vec<PathBuf> = names
        .iter()
        .map(|name| folder.path().join("shop").join(name))
        .collect();
    read(&paths)
}

fn env(composition: &Composition, service: &str, name: &str) -> Option<String> {
    let container = composition.container("shop", service).unwrap();
    container.env(name).map(str::to_owned)
}

#[test]
fn short_and_long_forms_say_the_same() {
    let short = "\
services:
  db:
    image: postgres:16
    environment: [POSTGRES_DB=shop, FROM_SHELL]
    labels: [holdfast.backup.strategy=postgres]
    volumes:
      - data:/var/lib/postgresql/data
      - ./init:/docker-entrypoint-initdb.d:ro
      - /anonymous
    tmpfs: /run
volumes: { data: }
";
    let long = "\
services:
  db:
    image: postgres:16
    environment: { POSTGRES_DB: shop, FROM_SHELL: }
    labels: { holdfast.backup.strategy: postgres }
    volumes:
      - { type: volume, source: data, target: /var/lib/postgresql/data }
      - { type: bind, source: ./init, target: /docker-entrypoint-initdb.d, read_only: true }
      - { type: volume, target: /anonymous }
    tmpfs: [ '/run:size=64k' ]
volumes: { data: {} }
";
    let container = |text| parse(text).unwrap().container("shop", "db").unwrap();
    assert_eq!(container(short), container(long));
    let found = container(short);
    assert_eq!(found.name, "shop-db-1");
    assert_eq!(found.project(), Some("shop"));
    assert_eq!(found.env("POSTGRES_DB"), Some("shop"));
    assert_eq!(found.env("FROM_SHELL"), None);
    assert!(!found.running);
    let mounts: Vec<(&str, &str, &str, bool)> = found
        .mounts
        .iter()
        .map(|m| (&*m.kind, &*m.source, &*m.destination, m.read_only))
        .collect();
    assert_eq!(
        mounts,
        [
            ("volume", "", "/anonymous", false),
            ("bind", "init", "/docker-entrypoint-initdb.d", true),
            ("tmpfs", "", "/run", false),
            ("volume", "shop_data", "/var/lib/postgresql/data", false),
        ]
    );
}

#[test]
fn variables_come_from_the_env_file_and_from_nowhere_else() {
    let files = folder(&[
        (".env", "TAG=15\nEMPTY=\nDB=${TAG}_db"),
        (
            "compose.yml",
            "services:\n  db:\n    image: postgres:${TAG:-16}\n    environment:\n      \
             A: ${DB}\n      B: ${NONE:-b}\n      C: ${EMPTY:-c}\n      D: ${EMPTY-d}\n      \
             E: $$TAG\n      F: ${HOME}\n      G: ${TAG:+set}\n      H: ${NEED:?say it}\n      I: 0755\n      J: yes\n",
        ),
    ]);
    let found = read_in(&files, &["compose.yml"]).unwrap();
    let container = found.container("shop", "db").unwrap();
    assert_eq!(container.image, "postgres:15");
    for (name, value) in [
        ("A", "15_db"),
        ("B", "b"),
        ("C", "c"),
        ("D", ""),
        ("E", "$TAG"),
        ("F", ""), // Holdfast's own environment is nobody's business
        ("G", "set"),
        ("H", "${NEED}"),
        ("I", "0755"),
        ("J", "yes"),
    ] {
        assert_eq!(env(&found, "db", name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(
        found.notes,
        ["the variable NEED is not set in the .env file"]
    );
}

#[test]
fn anchors_merge_keys_and_extensions() {
    let text = "\
x-base: &base
  image: mysql:8
  environment: &env { A: 1, B: 2 }
services:
  one: { <<: *base, environment: { <<: *env, B: 3 } }
  two: { <<: [ *base, { image: other, profiles: [debug] } ] }
";
    let found = parse(text).unwrap();
    assert_eq!(found.services["one"].image.as_deref(), Some("mysql:8"));
    assert_eq!(env(&found, "one", "A").as_deref(), Some("1"));
    assert_eq!(env(&found, "one", "B").as_deref(), Some("3"));
    assert_eq!(found.services["two"].image.as_deref(), Some("mysql:8"));
    assert_eq!(found.services["two"].profiles, ["debug"]);
}

#[test]
fn extends_include_and_several_files() {
    let files = folder(&[
        (
            "compose.yml",
            "name: shop\ninclude: [cache/compose.yml, { path: queue.yml, env_file: queue.env }]\n\
             services:\n  db: { extends: { file: base/common.yml, service: database }, environment: { POSTGRES_DB: shop } }\n  \
             copy: { extends: db, container_name: the-copy }\nvolumes: { data: { name: precious }, old: { external: true } }\n",
        ),
        (
            "compose.override.yml",
            "services: { db: { labels: { holdfast.backup.schedule: '@daily' } }, adminer: { image: adminer } }",
        ),
        (
            "base/common.yml",
            "services:\n  database: { extends: { service: image }, env_file: db.env, volumes: [ 'data:/data', 'old:/old', './conf:/conf:ro' ] }\n  \
             image: { image: 'postgres:16' }\n",
        ),
        ("base/db.env", "POSTGRES_DB=not-this\nPOSTGRES_USER=ada"),
        ("cache/compose.yml", "services: { cache: { image: redis } }"),
        ("queue.yml", "services: { queue: { image: '${QUEUE}' } }"),
        ("queue.env", "QUEUE=valkey/valkey:8"),
        ("other.yml", "services: { db: { image: postgres:17 } }"),
    ]);
    let found = read_in(&files, &["compose.yml"]).unwrap();
    assert_eq!(found.notes, Vec::<String>::new());
    assert_eq!(found.project.as_deref(), Some("shop"));
    let names: Vec<&str> = found.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["adminer", "cache", "copy", "db", "queue"]);
    let db = found.container("shop", "db").unwrap();
    assert_eq!(db.image, "postgres:16");
    assert_eq!(db.env("POSTGRES_DB"), Some("shop"));
    assert_eq!(db.env("POSTGRES_USER"), Some("ada"));
    assert_eq!(db.label("holdfast.backup.schedule"), Some("@daily"));
    let sources: Vec<&str> = db.mounts.iter().map(|m| m.source.as_str()).collect();
    let conf = files.path().canonicalize().unwrap().join("shop/base/conf");
    assert_eq!(sources, [conf.to_str().unwrap(), "precious", "old"]);
    let copy = found.container("shop", "copy").unwrap();
    assert_eq!((&*copy.name, &*copy.image), ("the-copy", "postgres:16"));
    assert_eq!(
        found.services["queue"].image.as_deref(),
        Some("valkey/valkey:8")
    );
    // Several files are exactly those, without the override that compose takes by itself.
    let two = read_in(&files, &["compose.yml", "other.yml"]).unwrap();
    assert_eq!(two.services["db"].image.as_deref(), Some("postgres:17"));
    assert!(!two.services.contains_key("adminer"));
}

#[test]
fn the_project_is_named_as_compose_names_it() {
    let services = "services: {}";
    let files = folder(&[("compose.yml", services)]);
    let named = read_in(&files, &["compose.yml"]).unwrap().project;
    assert_eq!(named.as_deref(), Some("shop"));
    fs::write(files.path().join("shop/.env"), "COMPOSE_PROJECT_NAME=other").unwrap();
    let named = read_in(&files, &["compose.yml"]).unwrap().project;
    assert_eq!(named.as_deref(), Some("other"));
    assert_eq!(parse(services).unwrap().project, None);
}

#[test]
fn nothing_outside_of_the_folder_is_read() {
    let files = folder(&[
        ("sub/inner.yml", "services: { x: { image: mongo } }"),
        (
            "compose.yml",
            "include: ['../secret.yml', '/etc/passwd', link.yml, sub/../../secret.yml]\n\
             services:\n  a: { extends: { file: ../secret.yml, service: x }, env_file: [ ../secret.env, /etc/passwd, link.env, /none/there, gone.env ] }\n",
        ),
    ]);
    let secret = files.path().join("secret.yml");
    fs::write(&secret, "services: { x: { image: stolen } }").unwrap();
    fs::write(files.path().join("secret.env"), "STOLEN=1").unwrap();
    symlink(&secret, files.path().join("shop/link.yml")).unwrap();
    symlink("../secret.env", files.path().join("shop/link.env")).unwrap();
    let found = read_in(&files, &["compose.yml"]).unwrap();
    assert_eq!(found.services.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(found.services["a"].image, None);
    assert_eq!(env(&found, "a", "STOLEN"), None);
    let outside = |note: &&String| note.contains("outside of the project's folder");
    assert_eq!(
        found.notes.iter().filter(outside).count(),
        9,
        "{:?}",
        found.notes
    );
    assert!(found.notes.iter().any(|n| n.contains("no file gone.env")));
    // An upload has no folder at all.
    let text = fs::read_to_string(files.path().join("shop/compose.yml")).unwrap();
    let upload = parse(&text).unwrap();
    assert_eq!(upload.services.len(), 1);
    assert!(upload.notes.iter().all(|note| note.contains("outside")));
}

#[test]
fn what_is_no_plain_file_of_text_is_refused_at_once() {
    let files = folder(&[("sub/x", ""), ("large.yml", &"#".repeat(2 << 20))]);
    let shop = files.path().join("shop");
    fs::write(shop.join("binary.yml"), b"services: \xff\xfe").unwrap();
    let fifo = shop.join("fifo.yml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    symlink("loop.yml", shop.join("loop.yml")).unwrap();
    let told = |name: &str| read_in(&files, &[name]).unwrap_err().to_string();
    for (name, expected) in [
        ("fifo.yml", "is not a plain file"),
        ("sub", "is not a plain file"),
        ("large.yml", "is larger than 1024 KiB"),
        ("binary.yml", "is not text"),
        ("none.yml", "there is no file"),
        ("sub/x/y.yml", "there is no file"),
        ("loop.yml", "cannot be read"),
    ] {
        assert!(told(name).contains(expected), "{name}: {}", told(name));
    }
    let device = read(&[PathBuf::from("/dev/zero")]).unwrap_err();
    assert!(device.to_string().contains("is not a plain file"));
}

#[test]
fn bombs_and_circles_end_quickly() {
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let refs = vec![format!("*a{}", i - 1); 10].join(",");
        laughs.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    let merges = "x: &x { a: 1 }\n".to_owned()
        + &(0..5_000).fold(String::new(), |all, i| {
            all + &format!("k{i}: {{ <<: *x }}\n")
        });
    let circle = "services: { a: { extends: b }, b: { extends: a } }".to_owned();
    let expansion = format!(
        "services: {{ a: {{ image: \"{}\" }} }}",
        "${A:-".repeat(50_000)
    );
    let many = (0..2_000).fold("services:\n".to_owned(), |all, i| {
        all + &format!("  s{i}: {{ image: x }}\n")
    });
    let deep = "[".repeat(100_000);
    let block = (0..5_000).fold(String::new(), |all, i| all + &" ".repeat(i % 300) + "a:\n");
    let recursive = "services: &s { a: *s }".to_owned();
    let started = std::time::Instant::now();
    for text in [
        laughs, merges, circle, expansion, many, deep, block, recursive,
    ] {
        assert!(parse(&text).is_err(), "{text:.60}");
    }
    let unset = (0..1_000).fold(String::new(), |all, i| all + &format!("- ${{V{i}:?}}\n"));
    assert!(parse(&unset).is_err());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn no_error_repeats_what_stands_in_the_file() {
    for text in [
        "root:$6$TOPSECRET:19000:0:99999:7:::\nada:$6$TOPSECRET:1",
        "services: { db: TOPSECRET }",
        "services: { db: { environment: TOPSECRET } }",
        "services: { db: { environment: { A: { TOPSECRET: 1 } } } }",
        "TOPSECRET",
        "services: { db: { image: '${TOPSECRET' } }",
        "TOPSECRET: 1\nTOPSECRET: 2",
        "a: *TOPSECRET",
        "a: \"TOPSECRET",
        "- TOPSECRET\nb: 1",
        "services: { db: { volumes: [ 'a:b:c:TOPSECRET' ] } }",
        "!!int TOPSECRET",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains("TOPSECRET"), "{error}");
        assert!(!error.contains("$6$"), "{error}");
    }
}
