// Completion and marks of a YAML text by JSON Schemas, one for each of its documents. Where a line stands is read off its
// indentation, which is enough for the block style that people write and that the server sends.

const KEY = /^(\s*)((?:-\s+)*)(?:"([^"]+)"|'([^']+)'|([\w./$-]+))\s*:(?=\s|$)/;

// A line of `---` begins a document, also where nothing stands before it.
const BREAK = /^---(\s|$)/;

// The number of the document that a line is in, both from 0.
export function documentOf(lines, number) {
  return lines.slice(0, number + 1).filter((line) => BREAK.test(line)).length;
}

// The keys that lead to a line whose key begins in column `indent`: {key}, and {item} for a step
// into a list, from the outermost in. `dashed`: the column is that of its dash.
export function pathOf(lines, number, indent, dashed) {
  const path = dashed ? [{ item: true }] : [];
  let below = indent;
  // A list may begin in the very column of its key.
  let equal = dashed;
  for (let at = number - 1; at >= 0 && (below > 0 || equal); at -= 1) {
    const line = lines[at];
    if (BREAK.test(line)) break;
    if (!line.trim() || /^\s*#/.test(line)) continue;
    const found = KEY.exec(line);
    if (!found) continue;
    const dash = found[2] ? found[1].length : -1;
    const column = found[1].length + found[2].length;
    if (column < below || (equal && dash < 0 && column === below)) {
      path.unshift({ key: found[3] ?? found[4] ?? found[5] });
      below = column;
      equal = false;
    }
    if (dash >= 0 && dash < below) {
      path.unshift({ item: true });
      below = dash;
      equal = true;
    }
  }
  return path;
}

// The path to the keys beside the one that begins after `lead`.
function around(lines, number, lead) {
  const dash = lead.indexOf("-");
  return dash < 0 ? pathOf(lines, number, lead.length) : pathOf(lines, number, dash, true);
}

function resolve(root, schema) {
  let now = schema;
  for (let turns = 0; now && turns < 20; turns += 1) {
    if (now.$ref) {
      const parts = now.$ref.replace(/^#\//, "").split("/");
      const target = parts.reduce((at, part) => at?.[part.replace(/~1/g, "/").replace(/~0/g, "~")], root);
      now = target && { ...target, description: now.description ?? target.description };
    } else if (now.allOf?.length === 1) {
      now = { ...now.allOf[0], description: now.description ?? now.allOf[0].description };
    } else break;
  }
  return now;
}

// The schema at a path; nothing where it does not say.
export function schemaAt(root, path) {
  let now = resolve(root, root);
  for (const step of path) {
    if (!now) return undefined;
    if (step.item) now = resolve(root, now.items);
    else if (now.properties?.[step.key]) now = resolve(root, now.properties[step.key]);
    else if (now.additionalProperties && typeof now.additionalProperties === "object") now = resolve(root, now.additionalProperties);
    else return undefined;
  }
  return now;
}

function word(schema) {
  if (!schema) return "";
  if (schema.type === "array") return `[]${word(schema.items) || "object"}`;
  return schema["x-kubernetes-int-or-string"] ? "int or string" : Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type ?? "object";
}

// A completion source for CodeMirror; `schemas` gives those of now.
export function completions(schemas) {
  return (context) => {
    const all = schemas();
    if (!all?.length) return null;
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const lines = context.state.doc.toString().split("\n");
    const root = all[documentOf(lines, line.number - 1)];
    if (!root) return null;
    const value = /^(\s*(?:-\s+)*)([\w./$-]+):\s+(\S*)$/.exec(before);
    if (value) {
      const found = schemaAt(root, [...around(lines, line.number - 1, value[1]), { key: value[2] }]);
      const all = found?.enum ?? (found?.type === "boolean" ? ["true", "false"] : []);
      if (!all.length) return null;
      return { from: context.pos - value[3].length, options: all.map((one) => ({ label: String(one), type: "enum" })) };
    }
    const key = /^(\s*(?:-\s+)*)([\w./$-]*)$/.exec(before);
    if (!key || (!key[2] && !context.explicit)) return null;
    const found = schemaAt(root, around(lines, line.number - 1, key[1]));
    if (!found?.properties) return null;
    const required = new Set(found.required ?? []);
    const options = Object.entries(found.properties).map(([label, one]) => {
      const of = resolve(root, one);
      const nested = of?.type === "object" || of?.properties ? "\n" + " ".repeat(key[1].length + 2) : of?.type === "array" ? "\n" + " ".repeat(key[1].length) + "- " : " ";
      return { label, type: "property", detail: word(of), info: of?.description, boost: required.has(label) ? 10 : 0, apply: `${label}:${nested}` };
    });
    return { from: context.pos - key[2].length, options, validFor: /^[\w./$-]*$/ };
  };
}

// Keys that the schemas do not know: {line, column, severity, message}.
export function unknownKeys(text, schemas, message) {
  const marks = [];
  const lines = text.split("\n");
  let block = -1;
  let document = 0;
  lines.forEach((line, number) => {
    if (BREAK.test(line)) {
      document += 1;
      block = -1;
      return;
    }
    const root = schemas[document];
    if (!root) return;
    const indent = line.length - line.trimStart().length;
    if (block >= 0) {
      if (!line.trim() || indent > block) return;
      block = -1;
    }
    const found = KEY.exec(line);
    if (/:\s*[|>][+-]?\d*\s*$/.test(line)) block = indent;
    if (!found || /^\s*#/.test(line)) return;
    const key = found[3] ?? found[4] ?? found[5];
    const column = found[1].length + found[2].length;
    const parent = schemaAt(root, around(lines, number, found[1] + found[2]));
    const open = !parent?.properties || parent.additionalProperties || parent["x-kubernetes-preserve-unknown-fields"];
    if (open || parent.properties[key] || marks.length >= 50) return;
    marks.push({ line: number + 1, column: column + 1, severity: "warning", message: message.replace("{field}", key) });
  });
  return marks;
}
