import v8 from 'node:v8'

// V8 of Node 20 aborts ("unreachable code" in Deoptimizer::DoComputeBuiltinContinuation) within seconds when Cedar's
// WebAssembly is called from a busy server. Without this inlining it does not; Node 22 and newer are not affected.
// Set before the first call, it holds for the whole process.
if (Number.parseInt(process.versions.node, 10) < 22) {
  v8.setFlagsFromString('--no-turbo-inline-js-wasm-calls')
}
