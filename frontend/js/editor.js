// The code editor: CodeMirror 6 behind a small face for the WASM app.
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, highlightActiveLine, drawSelection } from "@codemirror/view";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, syntaxHighlighting, indentOnInput, bracketMatching, foldGutter } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { searchKeymap, highlightSelectionMatches } from "@codemirror/search";
import { autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { tags } from "@lezer/highlight";
import { completions, unknownKeys } from "./schema.js";

// Colours come from the app's own variables, so that light and dark follow the page.
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--code-key)" },
  { tag: [tags.string, tags.content], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--text-3)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator], color: "var(--text-2)" },
]);

const theme = EditorView.theme({
  "&": { backgroundColor: "var(--code-ground)", color: "var(--text)", fontSize: "13px", height: "100%", maxHeight: "var(--editor-most, none)" },
  ".cm-scroller": { overflow: "auto", fontFamily: "var(--font-mono)", lineHeight: "1.55" },
  ".cm-gutters": { backgroundColor: "var(--code-ground)", color: "var(--text-3)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  "&.cm-focused": { outline: "none" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-selectionBackground, &.cm-focused .cm-selectionBackground": { backgroundColor: "var(--selection) !important" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line)" },
});

export function createEditor(element, { doc, onChange, readOnly = false, nonce, label }) {
  // What completion and marks go by, once it has come: {schemas, message}.
  let known = null;
  // Problems that the app has found, shown together with those found here.
  let told = [];
  const mark = () => {
    const text = view.state.doc;
    const found = known ? unknownKeys(text.toString(), known.schemas, known.message) : [];
    const diagnostics = [...told, ...found].map(({ line, column, severity, message }) => {
      const at = text.line(Math.min(Math.max(line, 1), text.lines));
      const from = Math.min(at.from + Math.max(column - 1, 0), at.to);
      return { from, to: at.to, severity, message };
    });
    diagnostics.sort((a, b) => a.from - b.from);
    view.dispatch(setDiagnostics(view.state, diagnostics));
  };
  let waiting = 0;
  const view = new EditorView({
    parent: element,
    state: EditorState.create({
      doc,
      extensions: [
        EditorView.cspNonce.of(nonce),
        lineNumbers(),
        foldGutter(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        syntaxHighlighting(colours),
        yaml(),
        theme,
        EditorState.tabSize.of(2),
        EditorView.contentAttributes.of({ "aria-label": label ?? "" }),
        autocompletion({ override: [completions(() => known?.schemas)], icons: false }),
        keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
        EditorState.readOnly.of(readOnly),
        EditorView.editable.of(!readOnly),
        lintGutter(),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          if (onChange) onChange(update.state.doc.toString());
          if (known) {
            clearTimeout(waiting);
            waiting = setTimeout(mark, 400);
          }
        }),
      ],
    }),
  });
  return {
    // Marks problems: {line, column, severity, message}, lines and columns from 1.
    setDiagnostics: (marks) => {
      told = marks;
      mark();
    },
    // The JSON Schemas of the documents that are edited, null for those without: {schemas, message},
    // `message` says that a {field} is unknown.
    setSchemas: (given) => {
      known = given;
      mark();
    },
    getDoc: () => view.state.doc.toString(),
    setDoc: (text) =>
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    goTo: (line) => {
      const at = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
      view.dispatch({ selection: { anchor: at.from }, scrollIntoView: true });
      view.focus();
    },
    focus: () => view.focus(),
    dispose: () => {
      clearTimeout(waiting);
      view.destroy();
    },
  };
}
