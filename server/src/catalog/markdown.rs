//! READMEs and notes as HTML that is safe to show: raw HTML and pictures are left out, and links
//! lead to web pages only.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// The HTML of a Markdown text.
pub fn to_html(markdown: &str) -> String {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    // Of a picture, its text stays; of a link that leads nowhere, too.
    let mut dropped_links = 0_usize;
    let events = Parser::new_ext(markdown, options).filter_map(|event| match event {
        Event::Html(_) | Event::InlineHtml(_) => None,
        Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => None,
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link { ref dest_url, .. }) if !is_web(dest_url) => {
            dropped_links += 1;
            None
        }
        Event::End(TagEnd::Link) if dropped_links > 0 => {
            dropped_links -= 1;
            None
        }
        Event::Start(Tag::Link { link_type, dest_url, .. }) => {
            let id = CowStr::Borrowed("");
            Some(Event::Start(Tag::Link { link_type, dest_url, title: CowStr::Borrowed(""), id }))
        }
        other => Some(other),
    });
    let mut out = String::with_capacity(markdown.len() * 3 / 2);
    html::push_html(&mut out, events);
    out
}

fn is_web(address: &str) -> bool {
    ["https://", "http://", "mailto:"].iter().any(|scheme| {
        address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn renders_tables_and_code() {
        let html = to_html("# A\n\n| a | b |\n| - | - |\n| 1 | `x<y` |\n");
        assert!(html.contains("<h1>A</h1>"));
        assert!(html.contains("<td><code>x&lt;y</code></td>"));
    }

    #[test]
    fn leaves_out_what_could_act() {
        for (markdown, expected) in [
            ("a <script>alert(1)</script> b", "<p>a alert(1) b</p>\n"),
            ("<div onclick='x'>\n\nb", "<p>b</p>\n"),
            ("[a](javascript:alert(1))", "<p>a</p>\n"),
            (
                "[a](JavaScript:x) [b](https://example.com)",
                "<p>a <a href=\"https://example.com\">b</a></p>\n",
            ),
            ("[a](/v1/users)", "<p>a</p>\n"),
            ("![a](https://example.com/x.png)", "<p>a</p>\n"),
            (
                "<https://example.com>",
                "<p><a href=\"https://example.com\">https://example.com</a></p>\n",
            ),
        ] {
            assert_eq!(to_html(markdown), expected, "{markdown}");
        }
    }

    proptest! {
        #[test]
        fn nothing_active_comes_through(markdown in "[a-z<>\"'/=:()\\[\\]! \n]{0,80}") {
            let html = to_html(&markdown);
            prop_assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<div"));
        }
    }
}
