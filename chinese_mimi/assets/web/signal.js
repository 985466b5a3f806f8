// What the page draws: columns of a spectrogram, and colours.

const SIZE = 1024, ROWS = 96  // samples of a window, rows of a picture
const WINDOW = Float32Array.from({ length: SIZE }, (_, i) => .5 - .5*Math.cos(2*Math.PI*i/SIZE))

// In place, radix 2: Cooley and Tukey 1965.
const fft = (re, im) => {
  const n = re.length
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1
    for (; j & bit; bit >>= 1) j ^= bit
    j ^= bit
    if (i < j) [re[i], re[j]] = [re[j], re[i]]
  }
  for (let size = 2; size <= n; size *= 2) {
    for (let k = 0; k < size/2; k++) {
      const c = Math.cos(-2*Math.PI*k/size), s = Math.sin(-2*Math.PI*k/size)
      for (let a = k; a < n; a += size) {
        const b = a + size/2, x = re[b]*c - im[b]*s, y = re[b]*s + im[b]*c
        re[b] = re[a] - x
        im[b] = im[a] - y
        re[a] += x
        im[a] += y
      }
    }
  }
}

const mel = hz => Math.log10(1 + hz/700)
const hertz = mel => 700*(10**mel - 1)

// Level in dB of each row, evenly spaced in mel from 0 to half the rate, of the window that ends at `end`.
export const column = (samples, end, rate) => {
  const re = new Float64Array(SIZE), im = new Float64Array(SIZE)
  for (let i = 0; i < SIZE; i++) re[i] = (samples[end - SIZE + i] ?? 0)*WINDOW[i]
  fft(re, im)
  return Float32Array.from({ length: ROWS }, (_, row) => {
    const [low, high] = [row, row + 1].map(r => hertz(r/ROWS*mel(rate/2))*SIZE/rate)
    let power = 1e-10
    for (let bin = Math.floor(low); bin < Math.max(high, Math.floor(low) + 1); bin++) {
      power = Math.max(power, (re[bin]**2 + im[bin]**2)/(SIZE/4)**2)
    }
    return 10*Math.log10(power)
  })
}

// Draws columns of -80 dB (paper) to -10 dB (ink).
export const drawSpectrogram = (canvas, columns) => {
  canvas.width = Math.max(columns.length, 1)
  canvas.height = ROWS
  const context = canvas.getContext('2d'), image = context.createImageData(canvas.width, ROWS)
  columns.forEach((levels, x) => levels?.forEach((level, row) => {
    const share = Math.min(1, Math.max(0, (level + 80)/70)), at = 4*((ROWS - 1 - row)*canvas.width + x)
    const paper = [251, 250, 246], ink = [29, 39, 48]
    for (let c = 0; c < 3; c++) image.data[at + c] = paper[c] + share*(ink[c] - paper[c])
    image.data[at + 3] = 255
  }))
  context.putImageData(image, 0, 0)
}

// Unlike colours for neighbouring codes: multiplicative hashing, Knuth 1973, 6.4.
const tokenColor = code => {
  const mixed = (Math.imul(code, 2654435761) >>> 0)/2**32
  const saturation = .15 + .3*(mixed*7 % 1), value = .93 - .38*(mixed*31 % 1), lightness = value*(1 - saturation/2)
  return `hsl(${360*mixed} ${100*(value - lightness)/Math.min(lightness, 1 - lightness)}% ${100*lightness}%)`
}

// Draws tokens, frame after frame; those from codebook n on are pale.
export const drawTokens = (canvas, codes, books, n) => {
  const frames = codes.length/books, width = 6, height = Math.round(Math.max(9, Math.min(22, 100/books + 8)))
  canvas.width = width*frames
  canvas.height = height*books
  Object.assign(canvas.style, { minWidth: `${canvas.width}px`, height: `${canvas.height}px` })
  const context = canvas.getContext('2d')
  for (let i = 0; i < codes.length; i++) {
    context.globalAlpha = i % books < n ? 1 : .22
    context.fillStyle = tokenColor(codes[i])
    context.fillRect(width*Math.floor(i/books), height*(i % books), width, height)
  }
}
