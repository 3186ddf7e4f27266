//! The editor of Compose texts.

use drover_tests::TestServer;

use super::{EXPECTED, signed_in};

/// Puts a text into the editor as the clipboard does.
const PASTE: &str = r"
    const clipboard = new DataTransfer();
    clipboard.setData('text/plain', 'services:\n  web:\n    image: nginx:1.29\n');
    document.activeElement.dispatchEvent(
        new ClipboardEvent('paste', { clipboardData: clipboard, bubbles: true, cancelable: true }))";

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_marked_while_it_is_typed() {
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    let browser = signed_in(&server, environment, "/stacks/new").await;
    let b = &browser;
    b.fill("input[name=name]", "typed").await;
    b.click(".cm-content").await;
    // Ctrl and A.
    b.keys("\u{e009}a\u{e000}").await;
    b.run(PASTE).await;
    b.see(".cm-content", "nginx:1.29").await;
    b.keys("    restrat: always").await;
    b.see(".cm-content", "restrat").await;
    // The mark stands in the margin of the line that is wrong.
    let marked = "const mark = document.querySelector('.cm-lint-marker-error, .cm-lint-marker-warning');
        if (!mark) return null;
        const middle = one => { const box = one.getBoundingClientRect(); return (box.top + box.bottom) / 2 };
        const line = [...document.querySelectorAll('.cm-line')]
            .find(line => Math.abs(middle(line) - middle(mark)) < 8);
        return line && line.innerText";
    let line = b.value("a mark in the margin", marked).await;
    assert!(line.as_str().unwrap().contains("restrat"), "{line}");
    b.find("form button[type=submit]:disabled").await;

    // Mended: the mark goes, and the stack could be installed.
    for _ in 0.."restrat: always".len() {
        b.keys("\u{e003}").await;
    }
    b.keys("restart: always").await;
    b.until("no mark", async || {
        (b.count(".cm-lint-marker-error, .cm-lint-marker-warning").await == 0).then_some(())
    })
    .await;
    b.find("form button[type=submit]:not(:disabled)").await;
    b.assert_no_errors(EXPECTED).await;
}
