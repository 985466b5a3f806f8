// The live mode: blocks of the microphone are sent as they come; what comes back is played without gaps. After a gap
// more sound is buffered. window.mimi holds the state; the page's controls set its model and its number of codebooks.

(() => {
  const BLOCK = .02  // seconds of the microphone in one message

  // Runs on the audio thread: collects 16-bit blocks.
  const worklet = `registerProcessor('mimi-microphone', class extends AudioWorkletProcessor {
    constructor() {
      super()
      this.block = new Int16Array(Math.round(sampleRate*${BLOCK}))
      this.n = 0
    }
    process([[microphone]]) {
      for (const value of microphone ?? []) {
        this.block[this.n++] = Math.max(-1, Math.min(1, value))*32767
        if (this.n === this.block.length) {
          this.port.postMessage(this.block.slice())
          this.n = 0
        }
      }
      return true
    }
  })`

  const live = window.mimi = {
    model: null,
    codebooks: null,
    rates: {},
    set(next) {
      Object.assign(live, next)
      if (live.socket?.readyState === 1 && next.codebooks) live.socket.send(String(next.codebooks))
    },
  }

  const panel = () => document.querySelector('.live')
  const setState = state => { panel().dataset.state = state }
  const setMeter = width => { panel().querySelector('.meter i').style.width = width }

  const showStatus = values => {
    panel().classList.add('filled')
    for (const key in values) {
      panel().querySelectorAll(`[data-value=${key}]`).forEach(element => { element.textContent = values[key] })
    }
  }

  const stop = state => {
    live.socket?.close()
    live.stream?.getTracks().forEach(track => track.stop())
    live.microphone?.close()
    live.out?.close()
    live.socket = live.stream = live.microphone = live.out = null
    setMeter(0)
    setState(state)
  }

  // When the microphone recorded the first of the samples that are played next, in ms.
  const recordedAt = () => {
    const block = Math.floor(live.played/BLOCK + 1e-6)
    return live.sent[block] - 1000*((block + 1)*BLOCK - live.played)
  }

  const play = (samples, rate) => {
    const time = live.out.currentTime
    if (live.nextStart < time) {
      if (live.played) {
        live.gaps++
        live.lead = Math.min(.5, live.lead*1.5)
      }
      live.nextStart = time + live.lead
    }
    live.delay = performance.now() + 1000*(live.nextStart - time + (live.out.outputLatency || 0)) - recordedAt()
    const sound = live.out.createBuffer(1, samples.length, rate), source = live.out.createBufferSource()
    sound.copyToChannel(Float32Array.from(samples, value => value/32768), 0)
    source.buffer = sound
    source.connect(live.speaker)
    source.start(live.nextStart)
    live.nextStart += sound.duration
    live.played += samples.length/rate
    const kbps = live.codebooks*live.rates[live.model].kbps
    const seconds = live.played.toFixed(1), delay = Math.round(live.delay)
    showStatus({ seconds, delay, gaps: live.gaps, sent: kbps.toFixed(2) })
  }

  const sendBlock = (socket, block) => {
    setMeter(`${100*Math.sqrt(Math.max(...block)/32768)}%`)
    if (socket.readyState !== 1) return
    const late = live.sent.length - live.answered > 1/BLOCK  // a second behind: a gap is better than a growing delay
    if (late && !live.late) live.gaps++
    live.late = late
    if (late) return
    live.sent.push(performance.now())
    socket.send(block.buffer)
  }

  const openSocket = () => {
    const query = new URLSearchParams({ model: live.model, rate: live.microphone.sampleRate, codebooks: live.codebooks })
    const address = new URL(`live?${query}`, location.href.split(/[?#]/)[0]).href.replace(/^http/, 'ws')
    const socket = new WebSocket(address)
    socket.binaryType = 'arraybuffer'
    return socket
  }

  const openAudio = rate => {
    live.microphone = new AudioContext()
    live.out = new AudioContext({ sampleRate: rate, latencyHint: 'interactive' })
    live.speaker = live.out.createGain()
    live.speaker.connect(live.out.destination)
  }

  const start = async () => {
    setState('asking')
    try {
      live.stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } })
    } catch {
      return setState('denied')
    }
    const rate = live.rates[live.model].rate
    openAudio(rate)
    Object.assign(live, { nextStart: 0, played: 0, gaps: 0, lead: .06, sent: [], answered: 0, late: false })
    await live.microphone.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], { type: 'text/javascript' })))
    const node = new AudioWorkletNode(live.microphone, 'mimi-microphone', { numberOfOutputs: 0 })
    const socket = live.socket = openSocket()
    node.port.onmessage = event => sendBlock(socket, event.data)
    socket.onopen = () => {
      live.microphone.createMediaStreamSource(live.stream).connect(node)
      setState('on')
    }
    socket.onmessage = event => {
      live.answered++
      if (event.data.byteLength && live.out) play(new Int16Array(event.data), rate)
    }
    socket.onclose = event => {
      if (live.socket === socket) stop({ 4001: 'busy', 4002: 'over' }[event.code] ?? 'lost')
    }
  }

  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-live]')
    if (!button) return
    const models = JSON.parse(button.closest('.live').dataset.models)
    live.rates = models.rates
    live.model ??= models.model
    live.codebooks ??= models.codebooks
    if (live.stream) stop('idle')
    else start()
  })
})()
