// Reads the TAP that the test runner prints and counts tests from it. A test is a point directly inside a test
// file (indented by four): `t.test(…)` or a lone assertion. Assertions inside a test decide whether it passes;
// they are not counted. Pure: lines in, results out.

const point = /^( *)(not )?ok\b(?: \d+)?(?: - (.*?))?( \{)?$/
const header = /^( *)# Subtest(?:: (.*))?$/

/** Splits `name # SKIP reason` (or TODO, or time=…) into its parts. */
function readDirective(text) {
  const found = /^(.*?)(?:^|\s+)#\s*(SKIP|TODO|time=\S+)\b\s*(.*?)$/i.exec(text)
  if (found === null) return { name: unescape(text), directive: undefined, reason: '' }
  const [, name = '', word = '', reason = ''] = found
  const directive = /^(skip|todo)$/i.test(word) ? word.toLowerCase() : undefined
  return { name: unescape(name), directive, reason, durationMs: readDuration(word) }
}

const unescape = (text) => text.replace(/\\([\\#])/g, '$1').trim()
const readDuration = (word) => (word.startsWith('time=') ? parseFloat(word.slice(5)) : undefined)

const newFile = (name) => ({
  name,
  ok: true,
  passed: 0,
  failed: 0,
  durationMs: 0,
  lines: [],
  failures: [],
  headers: [],
})

/**
 * A reader of TAP lines. Call `line(text)` for each line; a finished test file is given to `onFile`.
 * `results` holds files (names), passed, failed, failures [{file, name}] and skipped [{file, name, reason}].
 *
 * @param {(file: any) => unknown} onFile
 */
export function createTapResults(onFile = () => {}) {
  const results = { files: [], passed: 0, failed: 0, failures: [], skipped: [] }
  let file = newFile('')
  let diagnosticEnd

  function readPoint(depth, notOk, text) {
    const { name, directive, reason, durationMs } = readDirective(text)
    const path = [...file.headers.slice(1, depth), name].filter((part) => part !== '').join(' > ')
    if (directive !== undefined) {
      results.skipped.push({
        file: file.name || name,
        name: depth === 0 ? '(the whole file)' : path,
        reason: reason || directive,
      })
    } else if (depth === 1) {
      if (notOk) file.failures.push(name)
      else file.passed += 1
    }
    // A point outside any file is the runner's own word (`timeout!`), which it says beside the file's own failure.
    if (depth === 0 && file.headers.length > 0) endFile(notOk && directive === undefined, name, durationMs)
  }

  function endFile(notOk, name, durationMs) {
    file.name ||= name
    if (notOk && file.failures.length === 0)
      file.failures.push(name === file.name ? 'the file itself failed' : name)
    file.ok = !notOk && file.failures.length === 0
    file.failed = file.failures.length
    file.durationMs = durationMs ?? 0
    results.files.push(file.name)
    results.passed += file.passed
    results.failed += file.failed
    for (const failure of file.failures) results.failures.push({ file: file.name, name: failure })
    onFile(file)
    file = newFile('')
  }

  function line(text) {
    if (diagnosticEnd !== undefined) {
      file.lines.push(text)
      if (text === diagnosticEnd) diagnosticEnd = undefined
      return
    }
    const opening = /^( *)---$/.exec(text)
    if (opening !== null) diagnosticEnd = `${opening[1]}...`
    const subtest = header.exec(text)
    if (subtest !== null) {
      const depth = subtest[1].length / 4
      const name = unescape(subtest[2] ?? '')
      if (depth === 0) file = newFile(name)
      file.headers.length = depth
      file.headers[depth] = name
    }
    file.lines.push(text)
    const found = point.exec(text)
    if (found !== null) readPoint(found[1].length / 4, found[2] !== undefined, found[3] ?? '')
  }

  return { line, results }
}

/** What to print of a failed file: everything but the points that passed and the plans. */
export const failureLines = (file) =>
  file.lines.filter((text) => text.trim() !== '' && !/^\s*(ok\b|1\.\.\d+$|# time=)/.test(text))
