//! `cargo xtask frontend [--release] [--out DIR]`: builds the browser app, into `frontend/dist` if
//! nothing else is said.
//!
//! Steps: WASM by cargo, bindings by wasm-bindgen (as a library, so that it always matches the
//! lock file), scripts and styles by esbuild, then names with content hashes, `manifest.json`, and
//! in release builds a brotli twin of each file. What has been built from the same inputs is left
//! as it is, so that the server that embeds it is not built anew either.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use sha2::{Digest, Sha256};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match parse(&args).ok_or("usage: xtask frontend [--release] [--out DIR]".into()).and_then(build)
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What to build.
#[derive(Default)]
struct Frontend {
    release: bool,
    out: Option<PathBuf>,
}

fn parse(args: &[String]) -> Option<Frontend> {
    let mut args = args.iter().map(String::as_str);
    if args.next() != Some("frontend") {
        return None;
    }
    let mut wanted = Frontend::default();
    while let Some(arg) = args.next() {
        match arg {
            "--release" => wanted.release = true,
            "--out" => wanted.out = Some(args.next()?.into()),
            _ => return None,
        }
    }
    Some(wanted)
}

fn build(Frontend { release, out }: Frontend) -> Result<(), Failure> {
    // Asked for at run time: Cargo takes this program as fresh in another clone that shares the
    // target folder.
    let own = env::var_os("CARGO_MANIFEST_DIR").ok_or("start it with `cargo run -p xtask`")?;
    let root = Path::new(&own).parent().ok_or("no workspace")?.to_owned();
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out = out.map_or_else(|| Ok(root.join("frontend/dist")), std::path::absolute)?;
    let profile = if release { "wasm-release" } else { "wasm-dev" };
    run(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(&root)
        .args(["build", "--locked", "-p", "drover-frontend"])
        .args(["--target", "wasm32-unknown-unknown", "--profile", profile]))?;
    let wasm = target.join(format!("wasm32-unknown-unknown/{profile}/drover-frontend.wasm"));

    let stamp = out.with_extension("stamp");
    let inputs = inputs(&root, &wasm, profile)?;
    if out.exists() && fs::read_to_string(&stamp).is_ok_and(|known| known == inputs) {
        return Ok(());
    }
    let work = target.join("frontend").join(profile);
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(wasm)
        .web(true)?
        .typescript(false)
        .out_name("drover")
        .omit_default_module_path(true)
        .remove_name_section(release)
        .remove_producers_section(release)
        .generate(&work)?;
    scripts_and_styles(&root, &work, release)?;
    fs::copy(root.join("static/icon.svg"), work.join("icon.svg"))?;
    publish(&work, &out, release)?;
    fs::write(stamp, inputs)?;
    Ok(())
}

/// The hash of all that the result is made from.
fn inputs(root: &Path, wasm: &Path, profile: &str) -> Result<String, Failure> {
    let mut files = vec![wasm.to_owned(), env::current_exe()?];
    let mut folders = vec![root.join("frontend/js"), root.join("static")];
    files
        .extend(["package.json", "package-lock.json"].map(|name| root.join("frontend").join(name)));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let list = if entry.file_type()?.is_dir() { &mut folders } else { &mut files };
            list.push(entry.path());
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    hash.update(profile);
    for file in files {
        let content = fs::read(&file)?;
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(content);
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bundles what the app loads lazily, and the styles, with esbuild.
fn scripts_and_styles(root: &Path, work: &Path, release: bool) -> Result<(), Failure> {
    let npm = root.join("frontend");
    let (lock, stamp) = (npm.join("package-lock.json"), npm.join("node_modules/.drover-lock"));
    if fs::read(&lock)? != fs::read(&stamp).unwrap_or_default() {
        run(Command::new("npm").current_dir(&npm).args(["ci", "--no-audit", "--no-fund"]))?;
        fs::copy(&lock, &stamp)?;
    }
    // The terminal takes its style sheet as text, to add it with the page's nonce.
    let scripts = ["js/terminal.js", "js/editor.js", "--loader:.css=text"];
    for inputs in [&scripts[..], &["../static/styles/app.css"]] {
        let mut esbuild = Command::new(npm.join("node_modules/.bin/esbuild"));
        esbuild
            .current_dir(&npm)
            .args(inputs)
            .args(["--bundle", "--format=esm", "--target=es2022,chrome111,firefox113,safari16.4"])
            .args(["--entry-names=[name]", "--log-level=warning"])
            .arg(format!("--outdir={}", work.display()));
        if release {
            esbuild.arg("--minify");
        }
        run(&mut esbuild)?;
    }
    Ok(())
}

/// Gives each file the hash of its content as part of its name, so that browsers may keep it for
/// good, and lists the names.
fn publish(work: &Path, dist: &Path, release: bool) -> Result<(), Failure> {
    let fresh = dist.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let mut manifest = BTreeMap::new();
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("odd file name")?;
        let (stem, extension) = name.split_once('.').ok_or("a file without an extension")?;
        let content = fs::read(&path)?;
        let hash = hex(&Sha256::digest(&content)[..8]);
        let hashed = format!("{stem}-{hash}.{extension}");
        if release {
            let mut packed = Vec::new();
            let mut params = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
            params.size_hint = content.len();
            brotli::BrotliCompress(&mut io::Cursor::new(&content), &mut packed, &params)?;
            fs::write(fresh.join(format!("{hashed}.br")), packed)?;
        }
        fs::write(fresh.join(&hashed), content)?;
        manifest.insert(name.to_owned(), hashed);
    }
    fs::write(fresh.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
    if dist.exists() {
        fs::remove_dir_all(dist)?;
    }
    fs::rename(fresh, dist)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
