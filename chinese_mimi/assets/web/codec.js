// The graphs of an exported codec as streams. Their states are held here, outside the graphs; zeros begin them.

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array }
const VERSION = 1  // of model.json

export class Fault extends Error {  // one that the user can remove: `key` of texts.json, and what it names
  constructor(key, ...names) {
    super([key, ...names].join(' '))
    this.key = key
    this.names = names
  }
}

const fetched = async address => {
  const response = await fetch(address).catch(() => null)
  if (!response?.ok) throw new Fault('missing', address)
  return response
}

export const readModel = async folder => {
  const address = `${folder}model.json`
  const model = await fetched(address).then(response => response.json()).catch(error => {
    throw error instanceof Fault ? error : new Fault('unreadable', address)
  })
  if (model.format !== 'chinese-mimi onnx' || model.version !== VERSION) throw new Fault('version', address)
  return model
}

// The bytes of a graph, checked against model.json; `progress` is called with the number of bytes so far.
const readGraph = async (folder, graph, progress) => {
  const address = folder + graph.file, response = await fetched(address)
  const bytes = new Uint8Array(graph.bytes), reader = response.body.getReader()
  let n = 0
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (n + part.value.length > bytes.length) throw new Fault('another', address)
    bytes.set(part.value, n)
    n += part.value.length
    progress(n)
  }
  if (n < bytes.length) throw new Fault('another', address)
  if (!globalThis.crypto?.subtle) return bytes  // there is none on a page without https
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const sha256 = Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('')
  if (sha256 !== graph.sha256) throw new Fault('another', address)
  return bytes
}

class Stream {
  constructor(ort, session, graph) {
    Object.assign(this, { ort, session, graph })
    this.reset()
  }

  reset() {
    this.states = Object.fromEntries(this.graph.states.map(({ name, type, shape }) => {
      const dims = shape.map(n => n === 'batch' ? 1 : n)
      const size = dims.reduce((a, b) => a*b, 1)
      return [name, new this.ort.Tensor(type, new ARRAYS[type](size), dims)]
    }))
  }

  async step(x) {
    const out = await this.session.run({ [this.graph.input]: x, ...this.states })
    for (const { name, next } of this.graph.states) this.states[name] = out[next]
    return out[this.graph.output].data
  }
}

export class Codec {
  static async open(ort, folder, model, progress = () => {}) {
    const codec = new Codec()
    Object.assign(codec, { ort, model })
    const total = model.graphs.encoder_stream.bytes + model.graphs.decoder_stream.bytes
    let before = 0
    for (const half of ['encoder', 'decoder']) {
      const graph = model.graphs[`${half}_stream`]
      const bytes = await readGraph(folder, graph, n => progress((before + n)/total))
      before += graph.bytes
      // int8 weights become float32 once, when the graph is loaded
      const options = { executionProviders: ['wasm'], extra: { session: { disable_quant_qdq: '1' } } }
      codec[half] = new Stream(ort, await ort.InferenceSession.create(bytes, options), graph)
    }
    return codec
  }

  // Samples of whole frames -> tokens, frame after frame: Int32Array of n_codebooks * frames.
  async encode(samples) {
    const frames = samples.length/this.model.frame_size, books = this.model.n_codebooks
    const codes = await this.encoder.step(new this.ort.Tensor('float32', samples, [1, 1, samples.length]))
    return Int32Array.from({ length: books*frames }, (_, i) => Number(codes[(i % books)*frames + Math.floor(i/books)]))
  }

  // Tokens as `encode` gives them, of which the first n codebooks are used -> samples.
  async decode(codes, n) {
    const books = this.model.n_codebooks, frames = codes.length/books
    const rows = BigInt64Array.from({ length: codes.length }, (_, i) => {
      const book = Math.floor(i/frames)
      return book < n ? BigInt(codes[(i % frames)*books + book]) : -1n
    })
    return Float32Array.from(await this.decoder.step(new this.ort.Tensor('int64', rows, [1, books, frames])))
  }
}
