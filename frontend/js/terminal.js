// The terminal: xterm.js behind a small face for the WASM app.
import { Terminal } from "@xterm/xterm";
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import styles from "@xterm/xterm/css/xterm.css";

// The content security policy refuses styles without the page's nonce, and xterm.js does not
// give its own one.
function withNonce(nonce, work) {
  const make = document.createElement;
  document.createElement = function (name, options) {
    const element = make.call(document, name, options);
    if (String(name).toLowerCase() === "style") element.nonce = nonce;
    return element;
  };
  try {
    return work();
  } finally {
    document.createElement = make;
  }
}

let styled = false;

// Dark in both themes, as people expect of a terminal.
const theme = {
  background: "#0d1117", foreground: "#d7dce3", cursor: "#a3adff", selectionBackground: "#2c3566",
  black: "#20262f", red: "#ff8078", green: "#4fc98c", yellow: "#e5b54a",
  blue: "#6cb6ff", magenta: "#c9a2ff", cyan: "#3cc9b7", white: "#c9d1d9",
  brightBlack: "#697181", brightRed: "#ffa198", brightGreen: "#7ddba9", brightYellow: "#f2cc7a",
  brightBlue: "#9fd0ff", brightMagenta: "#dcc2ff", brightCyan: "#7fe3d6", brightWhite: "#ffffff",
};

export function createTerminal(element, { nonce, onData, onResize, readOnly = false }) {
  if (!styled) {
    const style = document.createElement("style");
    style.nonce = nonce;
    style.textContent = styles;
    document.head.append(style);
    styled = true;
  }
  const terminal = new Terminal({
    theme,
    fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace",
    fontSize: 13,
    cursorBlink: !readOnly,
    disableStdin: readOnly,
    scrollback: 10000,
    convertEol: readOnly,
  });
  const fit = new FitAddon();
  const search = new SearchAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(search);
  withNonce(nonce, () => terminal.open(element));
  const encoder = new TextEncoder();
  if (onData) {
    terminal.onData((text) => onData(encoder.encode(text)));
    terminal.onBinary((text) => onData(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  }
  if (onResize) terminal.onResize(({ cols, rows }) => onResize(cols, rows));
  const refit = () => withNonce(nonce, () => fit.fit());
  const observer = new ResizeObserver(refit);
  observer.observe(element);
  refit();
  return {
    write: (bytes) => terminal.write(bytes),
    focus: () => terminal.focus(),
    search: (text) => search.findNext(text),
    columns: () => terminal.cols,
    rows: () => terminal.rows,
    dispose: () => {
      observer.disconnect();
      terminal.dispose();
    },
  };
}
