// Computes away from the page. A message {id, call, args} is answered by {id, result, seconds} or {id, fault}.

import { Codec, Fault, readModel } from './codec.js'

let codec

const loadRuntime = async runtime => {
  const ort = await import(`${runtime}ort.wasm.min.mjs`).catch(() => { throw new Fault('runtime', runtime) })
  ort.env.wasm.wasmPaths = runtime
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1
  return ort
}

const calls = {
  async open(runtime, folder) {
    const model = await readModel(folder), ort = await loadRuntime(runtime)
    codec = await Codec.open(ort, folder, model, progress => postMessage({ progress }))
    return { ...model, threads: ort.env.wasm.numThreads }
  },
  resetEncoder: async () => codec.encoder.reset(),
  resetDecoder: async () => codec.decoder.reset(),
  encode: async samples => codec.encode(samples),
  decode: async (codes, n) => codec.decode(codes, n),
}

const answer = async ({ id, call, args }) => {
  const start = performance.now()
  try {
    const result = await calls[call](...args)
    postMessage({ id, result, seconds: (performance.now() - start)/1000 })
  } catch (error) {
    const { key = 'failed', names = [String(error?.message ?? error).split('\n')[0]] } = error
    postMessage({ id, fault: { key, names } })
  }
}

let last = Promise.resolve()  // one call after the other: the states go from each to the next
onmessage = ({ data }) => { last = last.then(() => answer(data)) }
