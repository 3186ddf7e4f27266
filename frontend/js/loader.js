// Lets the WASM app load a module at run time: `import()` is syntax, so WASM cannot call it.
export const load = (url) => import(url);
