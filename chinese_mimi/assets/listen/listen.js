// The listening panel in the browser: it plays sounds under blind labels and sends answers back. No system's name is
// ever sent to it. The kernel sets `trial`, `sounds`, `texts` and `lang`; the panel sends one vote for each trial.

function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props)
  element.append(...children)
  return element
}

// Sounds of one length, started together; one of them is audible, so that a switch keeps the position.
class Deck {
  constructor() {
    this.context = new AudioContext()
    this.chosen = 0
    this.sources = []
  }

  decode(sound) {
    const { buffer, byteOffset, byteLength } = sound
    return this.context.decodeAudioData(buffer.slice(byteOffset, byteOffset + byteLength))
  }

  async load(sounds) {
    this.stop()
    this.buffers = await Promise.all(sounds.map(sound => this.decode(sound)))
    this.chosen = 0
  }

  get playing() { return this.sources.length > 0 }
  get position() { return this.playing ? Math.max(0, this.context.currentTime - this.startTime) : 0 }
  get duration() { return this.buffers ? this.buffers[0].duration : 0 }

  makeGain(i) {
    const gain = this.context.createGain()
    gain.gain.value = i === this.chosen ? 1 : 0
    gain.connect(this.context.destination)
    return gain
  }

  makeSource(buffer, i) {
    const source = this.context.createBufferSource()
    source.buffer = buffer
    source.connect(this.gains[i])
    source.start(this.startTime)
    return source
  }

  async play(onEnd) {
    await this.context.resume()
    this.stop()
    this.startTime = this.context.currentTime + .03
    this.gains = this.buffers.map((_, i) => this.makeGain(i))
    const sources = this.sources = this.buffers.map((buffer, i) => this.makeSource(buffer, i))
    sources[0].onended = () => {
      if (this.sources !== sources) return
      this.stop()
      onEnd()
    }
  }

  choose(i) {
    this.chosen = i
    if (!this.playing) return
    const time = this.context.currentTime
    this.gains.forEach((gain, k) => gain.gain.setTargetAtTime(k === i ? 1 : 0, time, .004))
  }

  stop() {
    const sources = this.sources
    this.sources = []
    sources.forEach(source => {
      source.onended = null
      source.stop()
    })
  }
}

// One trial: its elements, the answer so far, and how often each sound was played. `text(key, values)` is a text.
class TrialView {
  constructor(trial, deck, text, send) {
    Object.assign(this, { trial, deck, text, send })
    this.listens = trial.labels.map(() => 0)
    this.startTime = performance.now()
    this.rates = trial.mode === 'mushra'
    this.answer = this.rates ? {} : null
    this.sent = false
    this.keys = { ' ': () => this.toggle(), enter: () => this.submit() }
    trial.labels.forEach((label, i) => { this.keys[label.toLowerCase()] = () => this.choose(i, true) })
    this.makeControls()
    this.votes = make('div', { className: 'votes' })
    if (this.rates) this.makeSliders()
    else this.makeAnswers()
  }

  makeControls() {
    const { trial, text } = this
    const label = text('comment')
    this.playButton = make('button', { className: 'play', onclick: () => this.toggle() })
    this.place = make('progress', { className: 'place', max: 1, value: 0, ariaLabel: text('position') })
    this.note = make('span', { className: 'muted note-line', role: 'status' })
    this.comment = make('textarea', { rows: 2, placeholder: label, ariaLabel: label, className: 'comment' })
    this.next = make('button', { className: 'primary next', textContent: text('next'), onclick: () => this.submit() })
    this.picks = trial.labels.map((label, i) =>
      make('button', { className: 'pick', textContent: label, onclick: () => this.choose(i, true) }))
  }

  answers() {
    const { text } = this
    if (this.trial.mode === 'abx') return [['A', text('is', { label: 'A' })], ['B', text('is', { label: 'B' })]]
    return [['A', text('better', { label: 'A' })], ['=', text('same')], ['B', text('better', { label: 'B' })]]
  }

  makeAnswers() {
    this.answers().forEach(([value, textContent], i) => {
      const onclick = () => {
        this.answer = value
        this.refresh()
      }
      const button = make('button', { className: 'vote', textContent, onclick })
      button.dataset.value = value
      this.votes.append(button)
      this.keys[String(i + 1)] = onclick
    })
  }

  makeSliders() {
    const hundred = make('span', { className: 'muted', textContent: '100' })
    const scale = [1, 2, 3, 4, 5].map(i => make('span', { textContent: this.text(`scale_${i}`) }))
    const marks = make('span', { className: 'scale' }, ...scale)
    this.votes.append(
      make('div', { className: 'row' }, this.picks[0], hundred),
      make('div', { className: 'marks muted' }, make('span'), marks, make('span')))
    this.trial.labels.slice(1).forEach((label, i) => this.votes.append(this.makeSlider(label, i + 1)))
  }

  makeSlider(label, i) {
    const output = make('output', { textContent: '–' })
    const ariaLabel = this.text('rating', { label })
    const slider = make('input', { type: 'range', min: 0, max: 100, value: 50, ariaLabel })
    slider.oninput = () => {
      this.answer[label] = +slider.value
      output.textContent = slider.value
      this.refresh()
    }
    slider.onfocus = () => { if (this.deck.chosen !== i) this.choose(i) }
    return make('div', { className: 'row' }, this.picks[i], slider, output)
  }

  elements() {
    const { trial, text } = this
    const sentence = trial.text ? [make('p', { className: 'sentence', lang: 'zh', textContent: trial.text })] : []
    const picks = this.rates ? [] : this.picks
    const keys = `${text('keys', { labels: trial.labels.join(' ') })} · ${text(`keys_${trial.mode}`)}`
    return [
      make('p', { className: 'ask', textContent: text(`ask_${trial.mode}`) }),
      ...sentence,
      make('div', { className: 'deck' }, this.playButton, ...picks, this.place),
      this.votes,
      this.comment,
      make('div', { className: 'bottom' }, this.next, this.note),
      make('p', { className: 'muted keys', textContent: keys }),
    ]
  }

  async choose(i, start = false) {
    this.deck.choose(i)
    this.listens[i] += 1
    if (start && !this.deck.playing) await this.deck.play(() => this.refresh())
    this.refresh()
  }

  async toggle() {
    if (this.deck.playing) {
      this.deck.stop()
    } else {
      this.listens[this.deck.chosen] += 1
      await this.deck.play(() => this.refresh())
    }
    this.refresh()
  }

  get allPlayed() { return this.listens.every(n => n > 0) }

  get answered() {
    if (!this.rates) return this.answer !== null
    return Object.keys(this.answer).length === this.trial.labels.length - 1
  }

  get ready() { return this.allPlayed && this.answered }

  submit() {
    if (!this.ready || this.sent) return
    this.sent = true
    this.deck.stop()
    const { answer, listens } = this
    const seconds = (performance.now() - this.startTime)/1000
    this.send({ kind: 'vote', number: this.trial.number, answer, comment: this.comment.value.trim(), listens, seconds })
    this.refresh()
    setTimeout(() => this.warnUnsaved(), 8000)
  }

  // The next trial replaces this one as soon as the vote is saved.
  warnUnsaved() {
    if (!this.sent || !this.votes.isConnected) return
    this.sent = false
    this.next.disabled = false
    this.note.textContent = this.text('not_saved')
  }

  noteText() {
    if (this.sent) return this.text('saving')
    return this.allPlayed ? '' : this.text('listen_first')
  }

  refresh() {
    this.playButton.textContent = this.text(this.deck.playing ? 'stop' : 'play')
    this.picks.forEach((button, i) => {
      button.ariaPressed = String(i === this.deck.chosen)
      button.classList.toggle('played', this.listens[i] > 0)
    })
    this.votes.querySelectorAll('.vote').forEach(button => {
      button.ariaPressed = String(button.dataset.value === this.answer)
    })
    this.next.disabled = !this.ready || this.sent
    this.note.textContent = this.noteText()
  }
}

function render({ model, el }) {
  const deck = new Deck()
  const root = make('div', { className: 'mimi listen', tabIndex: 0 })
  root.setAttribute('data-lm-suppress-shortcuts', 'true')  // JupyterLab would insert cells at a and b
  el.append(root)
  let view = null, alive = true, shown = 0

  const text = (key, values = {}) => {
    const template = model.get('texts')[key][model.get('lang')]
    return template.replace(/{(\w+)}/g, (_, name) => values[name])
  }

  const heading = trial => {
    const count = trial.done ? '' : text('count', trial)
    const value = trial.done ? trial.total : trial.number - 1
    const progress = make('progress', { max: trial.total, value, ariaLabel: count })
    return make('div', { className: 'top' }, progress, make('span', { className: 'muted count', textContent: count }))
  }

  // The state that is drawn anew with every frame; the attributes are for tests.
  const animate = turn => {
    if (!alive || turn !== shown) return
    view.place.value = deck.duration ? Math.min(1, deck.position/deck.duration) : 0
    root.dataset.position = deck.position.toFixed(3)
    root.dataset.chosen = view.trial.labels[deck.chosen]
    requestAnimationFrame(() => animate(turn))
  }

  // The last trial stays in view until the sounds of the next one can be played.
  async function show() {
    const trial = model.get('trial'), turn = ++shown
    view = null
    deck.stop()
    if (trial.number === undefined) return
    if (!trial.done) await deck.load(model.get('sounds'))
    if (turn !== shown) return
    root.lang = model.get('lang')
    root.replaceChildren(heading(trial))
    if (trial.done) {
      root.append(make('p', { className: 'done', textContent: text('done') }))
      return
    }
    view = new TrialView(trial, deck, text, message => model.send(message))
    root.append(...view.elements())
    view.refresh()
    animate(turn)
    root.focus({ preventScroll: true })
  }

  root.addEventListener('keydown', event => {
    const { target, key } = event
    if (target.tagName === 'TEXTAREA' || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return
    const onNext = key === 'Enter' && target.classList.contains('next')
    if (key === 'Enter' && target.tagName === 'BUTTON' && !onNext) event.preventDefault()
    const run = view?.keys[key.toLowerCase()]
    if (!run || onNext) return
    event.preventDefault()
    event.stopPropagation()
    run()
  })

  model.on('change:trial', show)
  model.on('change:lang', show)
  show()
  return () => {
    alive = false
    deck.stop()
    deck.context.close()
    model.off('change:trial', show)
    model.off('change:lang', show)
  }
}

export default { render }
