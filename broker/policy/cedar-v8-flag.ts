import v8 from 'node:v8'

// Node 20 aborts ("unreachable code" in the deoptimizer) soon after WebAssembly is called from a busy server; without
// this inlining it does not. Node 22 and newer are not affected.
if (process.versions.node.startsWith('20.')) v8.setFlagsFromString('--no-turbo-inline-js-wasm-calls')
