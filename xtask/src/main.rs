//! `cargo xtask frontend [--release] [--out DIR]`: builds the browser app, into `frontend/dist` if
//! nothing else is said.
//!
//! Steps: WASM by cargo, cut into what is needed at once and what is loaded later by wasm_split,
//! bindings by wasm-bindgen (both as libraries, so that they always match the lock file), scripts
//! and styles by esbuild, then names with content hashes, `manifest.json`, and in release builds a
//! brotli twin of each file. What has been built from the same inputs is left as it is, so that
//! the server that embeds it is not built anew either.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use sha2::{Digest, Sha256};

type Failure = Box<dyn std::error::Error>;

/// The script that starts the app.
const LOADER: &str = "drover.js";

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
    let parts = work.join("parts");
    fs::create_dir_all(&parts)?;
    modules(&wasm, &parts, &work, release)?;
    scripts_and_styles(&root, &parts, &work, release)?;
    fs::remove_dir_all(&parts)?;
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

/// Cuts the app into modules: `drover_bg.wasm`, which is loaded first, and one for each group of
/// pages of `frontend/src/later.rs`, with what several of them use. The scripts that load them go
/// to `parts`.
fn modules(wasm: &Path, parts: &Path, work: &Path, release: bool) -> Result<(), Failure> {
    let main = parts.join("main.wasm");
    let whole = fs::read(wasm)?;
    let mut options = wasm_split_cli_support::Options::new(&whole);
    options.output_dir = parts;
    options.main_out_path = &main;
    options.main_module = "./drover.js";
    options.link_name = "./later.js";
    let cut = wasm_split_cli_support::transform(options)?;
    for path in cut.split_modules {
        let name = path.file_name().ok_or("a module without a name")?;
        let content = fs::read(&path)?;
        fs::write(
            work.join(name),
            if release { without_custom_sections(&content)? } else { content },
        )?;
    }
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(main)
        .web(true)?
        .typescript(false)
        .out_name("drover")
        // The other modules are linked to this one by what it exports.
        .keep_lld_exports(true)
        .demangle(false)
        .omit_default_module_path(true)
        .remove_name_section(release)
        .remove_producers_section(release)
        .generate(parts)?;
    fs::rename(parts.join("drover_bg.wasm"), work.join("drover_bg.wasm"))?;
    Ok(())
}

/// A WASM module without the names of its functions, and what else only tools read.
fn without_custom_sections(module: &[u8]) -> Result<Vec<u8>, Failure> {
    const CUSTOM: u8 = 0;
    let odd = "an odd WASM module";
    let (mut kept, mut rest) =
        module.split_at_checked(8).map(|(a, b)| (a.to_vec(), b)).ok_or(odd)?;
    while let Some(&id) = rest.first() {
        // The section's length, in LEB128.
        let (mut length, mut at) = (0_usize, 1);
        loop {
            let byte = *rest.get(at).ok_or(odd)?;
            length |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte < 0x80 {
                break;
            }
            if at > 5 {
                return Err(odd.into());
            }
        }
        let (section, after) = rest.split_at_checked(at + length).ok_or(odd)?;
        if id != CUSTOM {
            kept.extend_from_slice(section);
        }
        rest = after;
    }
    Ok(kept)
}

/// Bundles the app's loader, what the app loads lazily, and the styles, with esbuild.
fn scripts_and_styles(
    root: &Path,
    parts: &Path,
    work: &Path,
    release: bool,
) -> Result<(), Failure> {
    let npm = root.join("frontend");
    let (lock, stamp) = (npm.join("package-lock.json"), npm.join("node_modules/.drover-lock"));
    if fs::read(&lock)? != fs::read(&stamp).unwrap_or_default() {
        run(Command::new("npm").current_dir(&npm).args(["ci", "--no-audit", "--no-fund"]))?;
        fs::copy(&lock, &stamp)?;
    }
    // The terminal takes its style sheet as text, to add it with the page's nonce.
    let scripts = ["js/terminal.js", "js/editor.js", "--loader:.css=text"];
    let loader = parts.join("drover.js");
    let loader = loader.to_str().ok_or("odd name of the target folder")?;
    for inputs in [&scripts[..], &["../static/styles/app.css"], &[loader]] {
        let mut esbuild = Command::new(npm.join("node_modules/.bin/esbuild"));
        esbuild
            .current_dir(&npm)
            .args(inputs)
            .args(["--bundle", "--format=esm", "--target=es2022,chrome111,firefox113,safari16.4"])
            .args(["--entry-names=[name]", "--log-level=warning"])
            // wasm-bindgen lists the loader of the modules once for each of them.
            .arg("--log-override:duplicate-object-key=silent")
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
    let mut files = fs::read_dir(work)?
        .map(|entry| entry?.file_name().into_string().map_err(|_| "odd file name".into()))
        .collect::<Result<Vec<_>, Failure>>()?;
    // The loader is last: it names the modules.
    files.sort_by_key(|name| (name == LOADER, name.clone()));
    for name in files {
        let (stem, extension) = name.split_once('.').ok_or("a file without an extension")?;
        let mut content = fs::read(work.join(&name))?;
        if name == LOADER {
            content = with_hashed_names(String::from_utf8(content)?, &manifest).into_bytes();
        }
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
        manifest.insert(name, hashed);
    }
    fs::write(fresh.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
    if dist.exists() {
        fs::remove_dir_all(dist)?;
    }
    fs::rename(fresh, dist)?;
    Ok(())
}

/// Where the loader fetches modules, it fetches them by the names that they have now.
fn with_hashed_names(mut loader: String, manifest: &BTreeMap<String, String>) -> String {
    for (name, hashed) in manifest.iter().filter(|(name, _)| name.ends_with(".wasm")) {
        loader = loader.replace(&format!("./{name}"), &format!("./{hashed}"));
    }
    loader
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
