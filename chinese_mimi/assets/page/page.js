// The switch of languages and the map of tokens. Every text is in the page in both languages; CSS shows one of them.

(() => {
  const locales = { en: 'en', zh: 'zh-CN' }
  const root = document.documentElement
  let language = (navigator.language || 'en').startsWith('zh') ? 'zh' : 'en'
  try {
    const saved = localStorage.getItem('mimi-language')
    if (saved in locales) language = saved
  } catch {}

  const showLanguage = () => {
    root.dataset.ui = language
    root.lang = locales[language]
  }

  // Gradio chooses its own language by this when it starts.
  Object.defineProperty(navigator, 'language', { get: () => locales[language], configurable: true })
  showLanguage()

  // Gradio does not translate some of its texts while it runs: they are replaced by the pairs in the masthead.
  const translateGradio = (from, to) => {
    const pairs = JSON.parse(document.querySelector('[data-translations]').dataset.translations)
    const translations = new Map(pairs.map(pair => [pair[from], pair[to]]))
    const walker = document.createTreeWalker(document.querySelector('.gradio-container'), NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const node = walker.currentNode, text = node.data.trim()
      if (translations.has(text) && !node.parentElement.closest('.t')) node.data = translations.get(text)
    }
  }

  const switchLanguage = async next => {
    const previous = language
    language = next
    showLanguage()
    try { localStorage.setItem('mimi-language', next) } catch {}
    const resources = performance.getEntriesByType('resource').map(entry => entry.name)
    const core = resources.find(name => new RegExp('/assets/core-[^/]+[.]js$').test(name))
    try {
      (await import(core)).changeLocale(locales[next])
    } catch {
      return location.reload()
    }
    translateGradio(previous, next)
  }

  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-language]')
    if (button) switchLanguage(button.dataset.language)
  })

  // The map of tokens: the cell under the pointer, or the one that the arrow keys reach, is read out below the map.
  const clamp = (value, size) => Math.min(Math.max(value, 0), size - 1)

  const readCell = (map, frame, codebook) => {
    map.codes ??= JSON.parse(map.dataset.codes)
    const codes = map.codes, frames = codes[0].length
    const f = clamp(frame, frames), k = clamp(codebook, codes.length)
    map.cell = [f, k]
    const box = map.closest('.tokens')
    const values = { frame: f + 1, seconds: (f*map.dataset.seconds).toFixed(2), codebook: k + 1, token: codes[k][f] }
    box.querySelectorAll('[data-value]').forEach(element => { element.textContent = values[element.dataset.value] })
    const marker = map.querySelector('.cursor').style
    marker.left = `${100*f/frames}%`
    marker.top = `${100*k/codes.length}%`
    box.classList.add('filled')
  }

  const onPointer = event => {
    const map = event.target.closest?.('.tokens .map')
    if (!map) return
    const bounds = map.getBoundingClientRect(), style = getComputedStyle(map)
    const frame = (event.clientX - bounds.left)/bounds.width*style.getPropertyValue('--f')
    const codebook = (event.clientY - bounds.top)/bounds.height*style.getPropertyValue('--k')
    readCell(map, Math.floor(frame), Math.floor(codebook))
  }

  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

  document.addEventListener('pointermove', onPointer)
  document.addEventListener('pointerdown', onPointer)
  document.addEventListener('keydown', event => {
    const map = event.target.closest?.('.tokens .map'), step = steps[event.key]
    if (!map || !step) return
    event.preventDefault()
    const [f, k] = map.cell ?? [-step[0], -step[1]]
    readCell(map, f + step[0], k + step[1])
  })
})()
