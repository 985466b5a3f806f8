// The listening panel in the browser: plays what it is sent under blind labels and sends answers back. It never learns which system is which.

const TEXT = {
  en: { play: "Play", stop: "Stop", next: "Next", same: "No difference", better: l => `${l} is better`, is: l => `X is ${l}`, comment: "Comment (optional)",
        ab: "Which one sounds better?", abx: "Which one is X?", mushra: "How close is each to the reference R? 100 is the same.",
        scale: ["bad", "poor", "fair", "good", "excellent"], of: (i, n) => `${i} of ${n}`, hear: "Listen to each of them first.", wait: "Saving…", lost: "Not saved yet: is the notebook still running?",
        done: "That was all. Thank you! Your votes are saved.", keys: { ab: "1 A is better · 2 no difference · 3 B is better", abx: "1 X is A · 2 X is B", mushra: "↑ ↓ move the slider in focus" },
        common: (ls) => `${ls} listen · space play or stop · Enter next`, position: "Position", rating: l => `Rating of ${l}` },
  zh: { play: "播放", stop: "停止", next: "下一题", same: "没有区别", better: l => `${l} 更好`, is: l => `X 是 ${l}`, comment: "备注（可不填）",
        ab: "哪一个听起来更好？", abx: "X 是哪一个？", mushra: "各与参考 R 有多接近？100 表示相同。",
        scale: ["差", "较差", "一般", "好", "极好"], of: (i, n) => `第 ${i} 题，共 ${n} 题`, hear: "请先把每一个都听一遍。", wait: "正在保存……", lost: "尚未保存：笔记本还在运行吗？",
        done: "全部完成，谢谢！您的评分已保存。", keys: { ab: "1 A 更好 · 2 没有区别 · 3 B 更好", abx: "1 X 是 A · 2 X 是 B", mushra: "↑ ↓ 移动当前滑块" },
        common: (ls) => `${ls} 试听 · 空格 播放或停止 · 回车 下一题`, position: "位置", rating: l => `${l} 的评分` },
}

function make(tag, props = {}, ...children) {
  const e = Object.assign(document.createElement(tag), props)
  e.append(...children)
  return e
}

// Sounds of one length, started together; one of them is let through, so that a switch keeps the position.
class Deck {
  constructor() { this.context = new AudioContext(); this.chosen = 0; this.sources = []; this.timer = 0 }
  async load(sounds) {
    this.stop()
    this.buffers = await Promise.all(sounds.map(s => this.context.decodeAudioData(s.buffer.slice(s.byteOffset, s.byteOffset + s.byteLength))))
    this.chosen = 0
  }
  get playing() { return this.sources.length > 0 }
  get position() { return this.playing ? Math.max(0, this.context.currentTime - this.since) : 0 }
  get duration() { return this.buffers ? this.buffers[0].duration : 0 }
  async play(ended) {
    await this.context.resume()
    this.stop()
    this.since = this.context.currentTime + .03
    this.gains = this.buffers.map((_, i) => { const g = this.context.createGain(); g.gain.value = i === this.chosen ? 1 : 0; g.connect(this.context.destination); return g })
    this.sources = this.buffers.map((b, i) => { const s = this.context.createBufferSource(); s.buffer = b; s.connect(this.gains[i]); s.start(this.since); return s })
    const mine = this.sources
    mine[0].onended = () => { if (this.sources === mine) { this.stop(); ended() } }
  }
  choose(i) {
    this.chosen = i
    if (this.playing) this.gains.forEach((g, k) => g.gain.setTargetAtTime(k === i ? 1 : 0, this.context.currentTime, .004))
  }
  stop() { const old = this.sources; this.sources = []; old.forEach(s => { s.onended = null; s.stop() }) }
}

function render({ model, el }) {
  const deck = new Deck(), root = make("div", { className: "mimi listen", tabIndex: 0 })
  root.setAttribute("data-lm-suppress-shortcuts", "true") // a and b would otherwise insert cells
  el.append(root)
  let keys = {}, refresh = () => {}, alive = true, shown = 0

  async function show() {
    const trial = model.get("trial"), t = TEXT[model.get("lang")] ?? TEXT.en, turn = ++shown
    root.lang = model.get("lang"); root.replaceChildren(); keys = {}
    deck.stop()
    if (trial.number === undefined) return
    root.append(make("div", { className: "top" }, make("progress", { max: trial.total, value: trial.number - 1, ariaLabel: t.of(trial.number, trial.total) }),
                     make("span", { className: "muted count", textContent: trial.done ? "" : t.of(trial.number, trial.total) })))
    if (trial.done) {
      root.querySelector("progress").value = trial.total
      root.append(make("p", { className: "done", textContent: t.done }))
      return
    }
    await deck.load(model.get("sounds"))
    if (turn !== shown) return
    const heard = trial.labels.map(() => 0), started = performance.now()
    let answer = trial.mode === "mushra" ? {} : null, sent = false

    const ask = make("p", { className: "ask", textContent: t[trial.mode] })
    const said = make("p", { className: "sentence", lang: "zh", textContent: trial.text })
    const play = make("button", { className: "play", onclick: () => toggle() })
    const place = make("progress", { className: "place", max: 1, value: 0, ariaLabel: t.position })
    const note = make("span", { className: "muted note-line", role: "status" })
    const comment = make("textarea", { rows: 2, placeholder: t.comment, ariaLabel: t.comment, className: "comment" })
    const next = make("button", { className: "primary next", textContent: t.next, onclick: () => submit() })
    const picks = trial.labels.map((l, i) => make("button", { className: "pick", textContent: l, onclick: () => choose(i, true) }))

    async function choose(i, start = false) {
      deck.choose(i); heard[i] += 1
      if (start && !deck.playing) await deck.play(refresh)
      refresh()
    }
    async function toggle() {
      if (deck.playing) deck.stop()
      else { heard[deck.chosen] += 1; await deck.play(refresh) }
      refresh()
    }
    const ready = () => heard.every(n => n > 0) && (trial.mode === "mushra" ? Object.keys(answer).length === trial.labels.length - 1 : answer !== null)
    function submit() {
      if (!ready() || sent) return
      sent = true; deck.stop()
      model.send({ kind: "vote", number: trial.number, answer, comment: comment.value.trim(), heard, seconds: (performance.now() - started) / 1000 })
      refresh()
      setTimeout(() => { if (sent && turn === shown) { note.textContent = t.lost; sent = false; next.disabled = false } }, 8000)
    }

    const votes = make("div", { className: "votes" })
    const answers = trial.mode === "ab" ? [["A", t.better("A")], ["=", t.same], ["B", t.better("B")]] : trial.mode === "abx" ? [["A", t.is("A")], ["B", t.is("B")]] : []
    answers.forEach(([value, text], i) => {
      const b = make("button", { className: "vote", textContent: text, onclick: () => { answer = value; refresh() } })
      b.dataset.value = value; votes.append(b); keys[String(i + 1)] = () => b.click()
    })
    if (trial.mode === "mushra") {
      const marks = make("div", { className: "marks muted" }, make("span"), make("span", { className: "scale" }, ...t.scale.map(s => make("span", { textContent: s }))), make("span"))
      votes.append(make("div", { className: "row" }, picks[0], make("span", { className: "muted", textContent: "100" })), marks)
      trial.labels.slice(1).forEach((l, i) => {
        const value = make("output", { textContent: "–" })
        const slider = make("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: t.rating(l), oninput: () => { answer[l] = +slider.value; value.textContent = slider.value; refresh() } })
        slider.onfocus = () => { if (deck.chosen !== i + 1) choose(i + 1) }
        votes.append(make("div", { className: "row" }, picks[i + 1], slider, value))
      })
    }
    trial.labels.forEach((l, i) => { keys[l.toLowerCase()] = () => choose(i, true) })
    keys[" "] = toggle; keys["enter"] = submit

    refresh = () => {
      play.textContent = deck.playing ? t.stop : t.play
      picks.forEach((b, i) => { b.ariaPressed = String(i === deck.chosen); b.classList.toggle("heard", heard[i] > 0) })
      votes.querySelectorAll(".vote").forEach(b => { b.ariaPressed = String(b.dataset.value === answer) })
      next.disabled = !ready() || sent
      note.textContent = sent ? t.wait : heard.every(n => n > 0) ? "" : t.hear
    }
    const listens = trial.mode === "mushra" ? [play] : [play, ...picks]
    root.append(ask, ...(trial.text ? [said] : []), make("div", { className: "deck" }, ...listens, place), votes, comment, make("div", { className: "bottom" }, next, note),
                make("p", { className: "muted keys", textContent: `${t.common(trial.labels.join(" "))} · ${t.keys[trial.mode]}` }))
    refresh()
    const tick = () => {
      if (!alive || turn !== shown) return
      place.value = deck.duration ? Math.min(1, deck.position / deck.duration) : 0
      root.dataset.position = deck.position.toFixed(3); root.dataset.chosen = trial.labels[deck.chosen]
      requestAnimationFrame(tick)
    }
    tick(); root.focus({ preventScroll: true })
  }

  root.addEventListener("keydown", e => {
    if (e.target.tagName === "TEXTAREA" || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return
    if (e.key === "Enter" && e.target.tagName === "BUTTON" && !e.target.classList.contains("next")) e.preventDefault()
    const run = keys[e.key.toLowerCase()]
    if (!run || (e.key === "Enter" && e.target.classList.contains("next"))) return
    e.preventDefault(); e.stopPropagation(); run()
  })
  model.on("change:trial", show)
  model.on("change:lang", show)
  show()
  return () => { alive = false; deck.stop(); deck.context.close(); model.off("change:trial", show); model.off("change:lang", show) }
}

export default { render }
