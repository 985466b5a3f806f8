// A click or Enter on a heading sorts its table by that column; undefined values stay last.
document.querySelectorAll('th[aria-sort]').forEach(heading => {
  const value = row => {
    const text = row.cells[heading.cellIndex].dataset.v
    if (text === undefined) return null
    return text !== '' && isFinite(text) ? +text : text
  }

  const compare = (a, b, direction) => {
    if (a === null) return 1
    if (b === null) return -1
    if (a === b) return 0
    return a < b ? -direction : direction
  }

  const sort = () => {
    const direction = heading.getAttribute('aria-sort') === 'ascending' ? -1 : 1
    const headings = heading.parentNode.querySelectorAll('th[aria-sort]')
    const body = heading.closest('table').tBodies[0]
    headings.forEach(other => other.setAttribute('aria-sort', 'none'))
    heading.setAttribute('aria-sort', direction > 0 ? 'ascending' : 'descending')
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b), direction)))
  }

  heading.addEventListener('click', sort)
  heading.addEventListener('keydown', event => {
    if (event.key !== 'Enter' && event.key !== ' ') return
    event.preventDefault()
    sort()
  })
})
