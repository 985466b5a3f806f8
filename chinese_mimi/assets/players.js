// One recording at a time: a player that starts stops all the others of the page.
document.addEventListener('play', event => {
  document.querySelectorAll('.mimi audio').forEach(audio => audio === event.target || audio.pause())
}, true)
