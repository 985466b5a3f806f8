// The page: records or opens speech, has it encoded and decoded by the worker, draws and plays it. window.mimi holds
// what there is.

import { column, drawSpectrogram, drawTokens } from './signal.js'

const LONGEST = 120    // seconds of a recording or a file
const COLUMNS = 4      // of a spectrogram in a frame
const CHUNK = 10       // frames that are encoded at once, where nobody waits for the next one
const LEAD = .3        // seconds that are decoded ahead of what is heard

const $ = selector => document.querySelector(selector)
const runtime = new URL(document.body.dataset.runtime, location.href).href
const models = new URL('model/', location.href).href
const texts = await fetch('texts.json').then(response => response.json())

const mimi = window.mimi = { model: null, samples: new Float32Array(0), codes: [], decoded: new Float32Array(0), n: 0,
                             columns: { original: [], decoded: [] }, seconds: { encode: 0, decode: 0 },
                             followed: Promise.resolve() }

// Texts in two languages

let language = new URLSearchParams(location.search).get('lang') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en')
let message = null     // the last one, so that it can change its language

const text = (key, ...values) => texts[key][language].replace(/\{(\d)\}/g, (_, i) => values[i])

const say = (key, ...values) => {
  message = key && [key, ...values]
  $('.note').classList.toggle('filled', Boolean(key))
  $('.message').textContent = key ? text(key, ...values) : ''
}

const setState = state => { document.body.dataset.state = state }

const fail = ({ key, names }) => {
  say(key, ...names)
  if (document.body.dataset.state === 'loading') setState('broken')
}

const showTexts = () => {
  document.documentElement.lang = language
  document.querySelectorAll('[data-text]').forEach(element => { element.textContent = text(element.dataset.text) })
  document.querySelectorAll('canvas').forEach(canvas => {
    canvas.setAttribute('aria-label', text(canvas.dataset.signal ?? 'tokens'))
  })
  document.querySelectorAll('[data-language]').forEach(button => {
    button.setAttribute('aria-pressed', button.dataset.language === language)
  })
  if (message) say(...message)
  if (mimi.model) showNumbers()
}

// The worker: calls are answered in their order

const worker = new Worker('worker.js', { type: 'module' }), waiting = new Map()
let calls = 0

worker.onerror = () => fail({ key: 'failed', names: ['worker.js'] })
worker.onmessage = ({ data }) => {
  if ('progress' in data) {
    $('progress').value = data.progress
    return
  }
  const { resolve, reject } = waiting.get(data.id)
  waiting.delete(data.id)
  if (data.fault) reject(data.fault)
  else resolve(data)
}
const ask = (call, ...args) => new Promise((resolve, reject) => {
  waiting.set(++calls, { resolve, reject })
  worker.postMessage({ id: calls, call, args })
})

// What is shown

const bitsPerToken = () => Math.ceil(Math.log2(mimi.model.codebook_size))
const percent = share => `${(100*share).toFixed(share < .1 ? 1 : 0)} %`

const showNumbers = () => {
  const { model, codes, samples, seconds, n } = mimi, length = samples.length/model.sample_rate
  const rate = n*model.frame_rate*bitsPerToken()/1000
  $('.rate').textContent = text('rate', n, model.n_codebooks, rate.toFixed(2))
  const share = length ? [seconds.encode/length, seconds.decode/length].map(percent) : ['–', '–']
  $('.readout').textContent = text('readout', length.toFixed(1), codes.length, ...share)
  const threads = model.threads > 1 ? text('threads', model.threads) : text('thread')
  $('.about').textContent = text('about', model.sample_rate, model.frame_rate, model.n_codebooks, model.codebook_size,
                                 model.fingerprint, threads)
}

let drawing = false
const draw = () => {
  if (drawing) return
  drawing = true
  requestAnimationFrame(() => {
    drawing = false
    for (const name in mimi.columns) drawSpectrogram($(`[data-signal=${name}]`), mimi.columns[name])
    drawTokens($('canvas.tokens'), mimi.codes, mimi.model.n_codebooks, mimi.n)
    showNumbers()
  })
}

// Columns of the frames from `first` up to `end` of a signal.
const addColumns = (name, signal, first, end, rate, frameSize) => {
  for (let i = first*COLUMNS; i < end*COLUMNS; i++) {
    mimi.columns[name][i] = column(signal, Math.round((i + 1)*frameSize/COLUMNS), rate)
  }
}

// Encoding and decoding

let take = 0           // the number of the recording or file; what belongs to an earlier one is dropped

const begin = async () => {
  stopPlaying()
  take++
  Object.assign(mimi, { samples: new Float32Array(0), codes: [], decoded: new Float32Array(0) })
  Object.assign(mimi, { columns: { original: [], decoded: [] }, seconds: { encode: 0, decode: 0 } })
  $('.results').hidden = false
  await Promise.all([ask('resetEncoder'), ask('resetDecoder')])
  return take
}

const joined = (a, b) => {
  const both = new a.constructor(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

// The next whole frames of a recording or file.
const encode = async (samples, own) => {
  const { result, seconds } = await ask('encode', samples)
  if (own !== take) return
  const { sample_rate: rate, frame_size: size } = mimi.model, first = mimi.samples.length/size
  mimi.samples = joined(mimi.samples, samples)
  mimi.codes = mimi.codes.concat(Array.from(result))
  mimi.seconds.encode += seconds
  addColumns('original', mimi.samples, first, mimi.samples.length/size, rate, size)
  draw()
}

// Frames `first` up to `end`, with as many codebooks as the slider says now; the stream has to be there.
const decode = async (first, end, own) => {
  const { n_codebooks: books, output_sample_rate: rate, output_frame_size: size } = mimi.model
  const { result, seconds } = await ask('decode', Int32Array.from(mimi.codes.slice(first*books, end*books)), mimi.n)
  if (own !== take) return null
  if (mimi.decoded.length < end*size) mimi.decoded = joined(mimi.decoded, new Float32Array(end*size - mimi.decoded.length))
  mimi.decoded.set(result, first*size)
  mimi.seconds.decode += seconds
  addColumns('decoded', mimi.decoded, first, end, rate, size)
  draw()
  return result
}

const frames = () => mimi.codes.length/mimi.model.n_codebooks

let decoding = 0       // the number of the last decoding of everything; an earlier one ends

const decodeAll = async () => {
  const own = take, number = ++decoding
  mimi.decoding = true
  await mimi.followed
  mimi.seconds.decode = 0
  await ask('resetDecoder')
  for (let i = 0; i < frames() && own === take && number === decoding; i += CHUNK) {
    await decode(i, Math.min(i + CHUNK, frames()), own)
  }
  if (number === decoding) mimi.decoding = false
}

// Samples at the codec's rate, from a file or a recording that has ended.
const encodeAll = async samples => {
  const { frame_size: size, sample_rate: rate } = mimi.model, own = await begin()
  const whole = joined(samples, new Float32Array((size - samples.length % size) % size))
  say('encoding')
  for (let at = 0; at < whole.length && own === take; at += CHUNK*size) {
    await encode(whole.slice(at, at + CHUNK*size), own)
  }
  if (own !== take) return
  say(null)
  await decodeAll()
}

// Files

const openFile = async (name, data) => {
  if (recording) stopRecording()
  const rate = mimi.model.sample_rate
  let sound
  try { sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(data) }
  catch { return fail({ key: 'undecodable', names: [name] }) }
  const n = Math.min(sound.length, LONGEST*rate), samples = new Float32Array(n)
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const values = sound.getChannelData(channel)
    for (let i = 0; i < n; i++) samples[i] += values[i]/sound.numberOfChannels
  }
  await encodeAll(samples)
  if (sound.length > n) say('too_long', name, LONGEST)
}

// The microphone: blocks of 20 ms from the audio thread, encoded frame by frame

const worklet = `registerProcessor('mimi-microphone', class extends AudioWorkletProcessor {
  constructor() {
    super()
    this.block = new Float32Array(Math.round(sampleRate/50))
    this.n = 0
  }
  process([[microphone]]) {
    for (const value of microphone ?? []) {
      this.block[this.n++] = value
      if (this.n === this.block.length) {
        this.port.postMessage(this.block.slice())
        this.n = 0
      }
    }
    return true
  }
})`

let recording = null   // { stream, context, output } of the microphone that is open, or asked for

const stopRecording = () => {
  const { stream, context, output } = recording ?? {}
  recording = null
  stream?.getTracks().forEach(track => track.stop())
  context?.close()
  mimi.followed.then(() => output?.closeLater())
  setState('ready')
}

// Blocks of the microphone are joined to frames, each of which is encoded and decoded in its turn; mimi.followed is
// settled when none waits for its turn any more, which may be after the recording.
const follow = (node, own, output) => {
  const { sample_rate: rate, frame_size: size } = mimi.model
  let pending = new Float32Array(0)
  const takeFrame = async frame => {
    if (own !== take) return
    await encode(frame, own)
    const sound = own === take && await decode(frames() - 1, frames(), own)
    if (sound && $('[name=monitor]').checked) output.play(sound)
  }
  node.port.onmessage = ({ data }) => {
    if (recording?.output !== output) return
    pending = joined(pending, data)
    if (pending.length < size) return
    const frame = pending.slice(0, size)
    pending = pending.slice(size)
    mimi.followed = mimi.followed.then(() => takeFrame(frame)).catch(fail)
    if (mimi.samples.length >= LONGEST*rate) stopRecording()
  }
}

const record = async () => {
  if (!navigator.mediaDevices) return say('insecure')
  const mine = recording = {}
  say('asking')
  setState('recording')
  try {
    const stream = mine.stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } })
    if (recording !== mine) return stream.getTracks().forEach(track => track.stop())  // stopped while it was asked for
    const context = mine.context = new AudioContext({ sampleRate: mimi.model.sample_rate })
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], { type: 'text/javascript' })))
    const own = await begin()
    if (recording !== mine) return
    const node = new AudioWorkletNode(context, 'mimi-microphone', { numberOfOutputs: 0 })
    follow(node, own, mine.output = new Output())
    context.createMediaStreamSource(stream).connect(node)
    say(null)
  } catch (error) {
    if (recording === mine) stopRecording()
    fail({ key: 'denied', names: [error.message] })
  }
}

// Sound: parts that follow each other without a gap

class Output {
  constructor() {
    this.context = new AudioContext()
    this.end = 0
  }

  get ahead() { return this.end - this.context.currentTime }  // seconds

  play(samples) {
    const rate = mimi.model.output_sample_rate, sound = this.context.createBuffer(1, samples.length, rate)
    const source = this.context.createBufferSource()
    sound.copyToChannel(Float32Array.from(samples), 0)
    source.buffer = sound
    source.connect(this.context.destination)
    this.end = Math.max(this.end, this.context.currentTime + .05)
    source.start(this.end)
    this.end += sound.duration
    return source
  }

  close() { this.context.close() }

  closeLater() { setTimeout(() => this.close(), 1000*Math.max(0, this.ahead)) }
}

let playing = null

const stopPlaying = () => {
  playing?.output.close()
  document.querySelectorAll('.playing').forEach(button => button.classList.remove('playing'))
  playing = null
}

const wait = seconds => new Promise(resolve => { setTimeout(resolve, 1000*seconds) })

const play = async name => {
  const output = new Output(), own = take, mine = playing = { output }
  $(`[data-act=${name}]`).classList.add('playing')
  if (name === 'original') output.play(mimi.samples)
  else {
    decoding++         // a decoding of everything would be mixed into this one
    await mimi.followed
    await ask('resetDecoder')
    for (let i = 0; i < frames() && playing === mine; i++) {
      while (output.ahead > LEAD && playing === mine) await wait(.02)
      const sound = await decode(i, i + 1, own)
      if (sound && playing === mine) output.play(sound)
    }
  }
  while (playing === mine && output.ahead > 0) await wait(.05)
  if (playing === mine) stopPlaying()
}

// What the controls do

const acts = {
  record: () => recording ? stopRecording() : record(),
  sample: async () => openFile('sample.flac', await fetch('sample.flac').then(response => response.arrayBuffer())),
  original: () => toggle('original'),
  decoded: () => toggle('decoded'),
}

const toggle = name => {
  const was = $(`[data-act=${name}]`).classList.contains('playing')
  if (recording) stopRecording()
  stopPlaying()
  if (!was && mimi.codes.length) return play(name)
}

document.addEventListener('click', event => {
  const act = event.target.closest('[data-act]')?.dataset.act
  if (act) Promise.resolve(acts[act]()).catch(fail)
  const chosen = event.target.closest('[data-language]')?.dataset.language
  if (chosen) language = chosen
  if (chosen) showTexts()
})

const openOne = file => file?.arrayBuffer().then(data => openFile(file.name, data)).catch(fail)
$('[type=file]').addEventListener('change', event => {
  openOne(event.target.files[0])
  event.target.value = ''
})
document.addEventListener('dragover', event => event.preventDefault())
document.addEventListener('drop', event => {
  event.preventDefault()
  if (mimi.model) openOne(event.dataTransfer.files[0])
})

$('[name=codebooks]').addEventListener('input', event => {
  mimi.n = Number(event.target.value)
  draw()
})
$('[name=codebooks]').addEventListener('change', () => { if (!playing && !recording) decodeAll().catch(fail) })

showTexts()
say('loading')
$('progress').hidden = false
ask('open', runtime, models).then(({ result }) => {
  mimi.model = result
  mimi.n = result.n_codebooks
  Object.assign($('[name=codebooks]'), { max: mimi.n, value: mimi.n })
  $('progress').hidden = true
  say(null)
  setState('ready')
  showNumbers()
}).catch(fault => {
  $('progress').hidden = true
  fail(fault)
})
