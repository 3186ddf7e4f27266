//! Files into a pod's container, and out of it.

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use crate::{
    api::{self, ApiError, encode},
    components::*,
    i18n::{fill, kubernetes, t},
    icons::Glyph,
};

/// The largest file that the browser packs, in bytes.
const LARGEST: f64 = 512.0 * 1024.0 * 1024.0;

/// A tar archive (POSIX ustar) with one file; nothing when its name is too long for one.
fn archive(name: &str, content: &[u8]) -> Option<Vec<u8>> {
    const BLOCK: usize = 512;
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        header.get_mut(at..at + bytes.len()).map(|place| place.copy_from_slice(bytes))
    };
    if name.is_empty() || name.len() > 99 || name.contains('/') {
        return None;
    }
    put(0, name.as_bytes())?;
    put(100, b"0000644\0")?;
    put(108, b"0000000\0")?;
    put(116, b"0000000\0")?;
    put(124, format!("{:011o}\0", content.len()).as_bytes())?;
    put(136, b"00000000000\0")?;
    // The sum of the header is taken with spaces in its own place.
    put(148, b"        ")?;
    put(156, b"0")?;
    put(257, b"ustar\x0000")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    header.get_mut(148..156)?.copy_from_slice(sum.as_bytes());
    let padding = content.len().next_multiple_of(BLOCK) - content.len();
    let mut all = Vec::with_capacity(content.len() + 4 * BLOCK);
    all.extend_from_slice(&header);
    all.extend_from_slice(content);
    all.resize(all.len() + padding + 2 * BLOCK, 0);
    Some(all)
}

/// Where from or to, a link to download, and a button to upload.
#[component]
pub(super) fn Files(
    /// The pod's place in the API.
    path: String,
    /// The container.
    container: Signal<String>,
) -> impl IntoView {
    let words = kubernetes();
    let place = RwSignal::new("/tmp".to_owned());
    let busy = RwSignal::new(false);
    let path = StoredValue::new(format!("{path}/files"));
    let query =
        move || format!("?path={}&container={}", encode(&place.get()), encode(&container.get()));
    let download = Signal::derive(move || format!("/v1/{}{}", path.get_value(), query()));
    let send = move |file: web_sys::File| {
        let name = file.name();
        if file.size() > LARGEST {
            return use_toasts().error(&ApiError::new("too_large", words.file_too_large));
        }
        busy.set(true);
        let target = format!("{}{}", path.get_value(), untrack(query));
        spawn_local(async move {
            let content = JsFuture::from(file.array_buffer()).await;
            let bytes = content.map(|buffer| js_sys::Uint8Array::new(&buffer).to_vec());
            let packed = bytes.ok().and_then(|bytes| archive(&name, &bytes));
            let sent = match packed {
                Some(archive) => {
                    api::put(target, &()).file("application/x-tar", archive).done().await
                }
                None => Err(ApiError::new("file", words.file_bad)),
            };
            busy.try_set(false);
            match sent {
                Ok(()) => use_toasts().success(fill(words.file_sent, &[("name", &name)])),
                Err(error) => use_toasts().error(&error),
            }
        });
    };
    let chosen = move |event: leptos::ev::Event| {
        let input: Option<web_sys::HtmlInputElement> =
            event.target().and_then(|target| target.dyn_into().ok());
        let Some(input) = input else { return };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            send(file);
        }
        // The same file can be chosen again.
        input.set_value("");
    };
    view! {
        <Card title=words.files>
            <div class="row-wrap k8s-files">
                <div class="grow"><TextField label=words.file_path value=place help=words.file_help mono=true /></div>
                <ButtonLink icon=Glyph::Download label=t().common.download href=download download=true />
                <label class="btn btn-secondary" aria-busy=move || busy.get().then_some("true")>
                    {words.file_upload}
                    <input type="file" class="sr-only" disabled=busy on:change=chosen />
                </label>
            </div>
        </Card>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::archive;

    #[test]
    fn a_file_is_packed_as_tar_reads_it() {
        let packed = archive("notes.txt", b"hello").unwrap();
        assert_eq!(packed.len(), 512 + 512 + 1024);
        assert_eq!(&packed[..9], b"notes.txt");
        assert_eq!(&packed[124..136], b"00000000005\0");
        assert_eq!(&packed[257..265], b"ustar\x0000");
        assert_eq!(&packed[512..517], b"hello");
        let sum: u32 = packed[..512]
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        assert_eq!(&packed[148..154], format!("{sum:06o}").as_bytes());
        assert!(archive(&"n".repeat(100), b"").is_none());
        assert!(archive("a/b", b"").is_none());
    }
}
