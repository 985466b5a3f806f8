// The listening panel in the browser: a form, then trials. It plays sounds under blind labels and sends answers back;
// once a test has begun, no system's name is sent to it. The kernel sets `form`, `trial`, `wavs`, `message`, `texts`
// and `lang`; the panel sends what the form holds, then one vote for each trial.

// JupyterLab takes a key to itself unless the element in focus says otherwise: its selectors end in `:focus`.
function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props)
  element.setAttribute('data-lm-suppress-shortcuts', 'true')
  element.append(...children)
  return element
}

// Sounds of one length, started together; one of them is audible, so that a switch keeps the position.
class Deck {
  constructor() {
    this.context = null
    this.chosen = 0
    this.sources = []
  }

  decode(sound) {
    const { buffer, byteOffset, byteLength } = sound
    return this.context.decodeAudioData(buffer.slice(byteOffset, byteOffset + byteLength))
  }

  async load(sounds) {
    this.stop()
    this.context ??= new AudioContext()
    const buffers = await Promise.all(sounds.map(sound => this.decode(sound)))
    this.stop()  // what a key may have started meanwhile
    this.buffers = buffers
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

  close() {
    this.stop()
    this.context?.close()
  }
}

// The form before a test; `values` are its answers: language, name, systems, mode and number of trials.
class FormView {
  constructor(form, text, setLanguage, send) {
    const { systems, listener, mode, n_trials } = form
    Object.assign(this, { form, text, send })
    this.values = { systems, listener, mode, n_trials }
    this.note = make('p', { className: 'muted message', role: 'status' })
    this.fields = make('div', { className: 'fields' })
    this.languages = ['en', 'zh'].map(lang => {
      const textContent = text(`lang_${lang}`)
      return make('button', { className: 'language', lang, textContent, onclick: () => setLanguage(lang) })
    })
    this.translate()
  }

  field(key, control) {
    const name = make('span', { textContent: this.text(key) })
    return make(control.tagName === 'DIV' ? 'div' : 'label', { className: `field field-${key}` }, name, control)
  }

  makeInput(key, props) {
    const input = make('input', { ...props, value: this.values[key] })
    input.oninput = () => { this.values[key] = input.value }
    return input
  }

  makeSystem(name) {
    const box = make('input', { type: 'checkbox', checked: this.values.systems.includes(name) })
    box.onchange = () => {
      const chosen = other => other === name ? box.checked : this.values.systems.includes(other)
      this.values.systems = this.form.systems.filter(chosen)
    }
    return make('label', {}, box, make('span', { textContent: name }))
  }

  makeModes() {
    const options = this.form.modes.map(mode => make('option', { value: mode, textContent: this.text(`mode_${mode}`) }))
    const select = make('select', {}, ...options)
    select.value = this.values.mode
    select.onchange = () => { this.values.mode = select.value }
    return select
  }

  // The language's buttons stay in place, so that the one pressed keeps the focus.
  translate() {
    const { text, fields, languages } = this
    languages.forEach(button => { button.ariaPressed = String(button.lang === text('lang')) })
    const systems = make('div', { className: 'systems', role: 'group', ariaLabel: text('systems') },
      ...this.form.systems.map(name => this.makeSystem(name)))
    fields.replaceChildren(
      this.field('name', this.makeInput('listener', { type: 'text', autocomplete: 'off', spellcheck: false })),
      this.field('systems', systems),
      this.field('mode', this.makeModes()),
      this.field('trials', this.makeInput('n_trials', { type: 'number', min: 1, max: 999 })),
      make('button', { className: 'primary start', textContent: text('start'), onclick: () => this.submit() }))
    this.notify('')
  }

  elements() { return [make('div', { className: 'languages' }, ...this.languages), this.fields, this.note] }

  notify(message) { this.note.textContent = message }

  press({ key, target }) { if (key === 'Enter' && target.type === 'text') this.submit() }

  submit() {
    const { listener, systems, mode, n_trials } = this.values
    this.send({ kind: 'start', listener: listener.trim(), systems, mode, n_trials: Math.round(+n_trials) })
  }
}

// One trial: its elements, the answer so far, and how often each sound was played. `text(key, values)` is a text.
class TrialView {
  constructor(trial, deck, text, send, takeFocus) {
    Object.assign(this, { trial, deck, text, send, takeFocus })
    this.sliders = []
    this.digits = ''
    this.listens = trial.labels.map(() => 0)
    this.startTime = performance.now()
    this.rates = trial.mode === 'mushra'
    this.answer = this.rates ? {} : null
    this.sent = false
    this.keys = { ' ': () => this.toggle(), enter: () => this.submit() }
    trial.labels.forEach((label, i) => { this.keys[label.toLowerCase()] = () => this.chooseByKey(i) })
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
    const slider = make('input', { type: 'range', className: 'unrated', min: 0, max: 100, value: 50, ariaLabel })
    slider.oninput = () => {
      this.answer[label] = +slider.value
      output.textContent = slider.value
      slider.classList.remove('unrated')
      this.refresh()
    }
    slider.onclick = slider.oninput  // a click on the middle, where it stands, is an answer too
    slider.onfocus = () => {
      this.digits = ''
      if (this.deck.chosen !== i) this.choose(i)
    }
    this.sliders[i] = slider
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

  // After its letter, arrows and digits are for this sound's slider.
  chooseByKey(i) {
    const playing = this.choose(i, true)
    this.sliders[i]?.focus({ preventScroll: true })
    return playing
  }

  // 1 0 0 is a hundred; a digit that would lead beyond it begins a new number, as does one after a pause.
  typeRating(slider, digit) {
    const now = performance.now()
    const more = now - this.typed < 2000 ? this.digits + digit : digit
    this.digits = +more > 100 ? digit : more
    this.typed = now
    slider.value = this.digits
    slider.oninput()
  }

  press(event) {
    const { target, key } = event
    if (target === this.comment) return
    const slider = target.type === 'range' ? target : this.sliders[this.deck.chosen]
    const typed = slider && /^[0-9]$/.test(key) ? () => this.typeRating(slider, key) : null
    const run = typed ?? this.keys[key.toLowerCase()]
    if (!run) return
    event.preventDefault()
    if (!event.repeat) run()
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
    this.takeFocus()  // a disabled button would drop it
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
    this.notify(this.text('not_saved'))
  }

  notify(message) {
    if (!message) return
    this.sent = false
    this.refresh()
    this.note.textContent = message
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
  el.append(root)
  let view = null, alive = true, shown = 0, pointed = false

  const text = (key, values = {}) => {
    if (key === 'lang') return model.get('lang')
    const template = model.get('texts')[key][model.get('lang')]
    return template.replace(/{(\w+)}/g, (_, name) => values[name])
  }

  const send = message => model.send(message)

  const takeFocus = () => root.focus({ preventScroll: true })

  const setLanguage = lang => {
    model.set('lang', lang)
    model.save_changes()
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

  // The focus goes to the panel before the element that has it goes away: else the next key would be the notebook's.
  const draw = (...elements) => {
    root.lang = model.get('lang')
    if (root.matches(':focus-within')) takeFocus()
    root.replaceChildren(...elements)
  }

  const showForm = () => {
    view = new FormView(model.get('form'), text, setLanguage, send)
    draw(...view.elements())
  }

  // The form or the last trial stays in view until the sounds of the next one can be played.
  async function show() {
    const trial = model.get('trial'), turn = ++shown
    deck.stop()
    if (trial.number === undefined) return showForm()
    if (!trial.done) await deck.load(model.get('wavs'))
    if (turn !== shown) return
    if (trial.done) {
      view = null
      draw(heading(trial), make('p', { className: 'done', textContent: text('done') }))
      return
    }
    view = new TrialView(trial, deck, text, send, takeFocus)
    draw(heading(trial), ...view.elements())
    view.refresh()
    animate(turn)
  }

  const translate = () => {
    if (view instanceof FormView) view.translate()
    else show()
  }

  const notify = () => view?.notify(model.get('message'))

  // Space and Enter press a button that was reached with Tab; after a click they play and continue.
  root.addEventListener('keydown', event => {
    const { target, key } = event
    const command = event.ctrlKey || event.metaKey
    event.stopPropagation()
    if (command && key.toLowerCase() === 's') event.preventDefault()  // the browser would save its page
    if (key === 'Tab') pointed = false
    if (command || event.altKey || event.isComposing) return
    const pressed = !pointed && target.tagName === 'BUTTON' && (key === ' ' || key === 'Enter')
    if (!pressed) view?.press(event)
  })
  root.addEventListener('pointerdown', () => { pointed = true })
  root.addEventListener('focusout', event => { if (!root.contains(event.relatedTarget)) pointed = false })

  model.on('change:trial', show)
  model.on('change:lang', translate)
  model.on('change:message', notify)
  show()
  return () => {
    alive = false
    deck.close()
    model.off('change:trial', show)
    model.off('change:lang', translate)
    model.off('change:message', notify)
  }
}

export default { render }
