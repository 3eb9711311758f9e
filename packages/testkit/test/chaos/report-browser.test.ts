// The report in a real browser, at the width of a telephone and of a screen, light and dark: everything is drawn with a size, readable, and inside the page.
import t from 'tap'
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { renderReport } from '../../src/chaos/report/report.ts'
import { summarize } from '../../src/chaos/report/summary.ts'
import { measuredIn, pageAround, type Measured } from '../support/measure-report.ts'
import { recordedRun } from '../support/recorded-run.ts'

const browser = [
  process.env['CHROME'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && existsSync(path))
const WIDTHS = [400, 1_400]
/** Of text on its ground, as the accessibility guidelines of the web ask for. */
const LEAST_CONTRAST = 4.5
const LEAST_TEXT_PX = 7

function run(
  program: string,
  args: readonly string[],
): Promise<{ readonly out: string; readonly err: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve({ out, err }) : reject(new Error(`${program} ended with ${code}: ${err}`)),
    )
  })
}

const skip = browser === undefined ? 'no Chromium is installed; CHROME may name one' : false
for (const [scheme, setting] of [
  ['light', 1],
  ['dark', 0],
] as const)
  t.test(`the report is drawn and can be read, ${scheme}`, { skip }, async (t) => {
    const { facts, wal } = recordedRun()
    const dir = t.testdir({ profile: {} })
    const page = join(dir, 'page.html')
    writeFileSync(page, pageAround(renderReport(summarize(facts), wal), WIDTHS))
    const { out, err } = await run(browser as string, [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr'],
      `--blink-settings=preferredColorScheme=${setting}`,
      `--user-data-dir=${join(dir, 'profile')}`,
      ...['--window-size=1900,2000', '--virtual-time-budget=5000', '--dump-dom', pathToFileURL(page).href],
    ])
    t.same(err.match(/^.*CONSOLE.*$/gm) ?? [], [], 'no script fails, nothing is refused')
    const { errors, frames } = measuredIn(out)
    t.same(errors, [])
    for (const [i, width] of WIDTHS.entries()) {
      const { dark, pageWidth, timeline, drawn, texts, tables } = frames[i] as Measured
      t.equal(dark, scheme === 'dark', 'it was looked at in this scheme')
      t.ok(pageWidth <= width, `${width} px: the page is not wider than the window`, { pageWidth })
      t.ok(timeline.width >= 900 && timeline.height >= 300, `${width} px: the picture has a size`, timeline)
      t.same(
        Object.entries(drawn).filter(([, count]) => count === 0),
        [],
        `${width} px: faults, healing, contents, lines and anomalies are drawn`,
      )
      t.match(texts.map(({ text }) => text).join(), /content 0.*latency, ms.*WAL 0, KB/s)
      t.same(
        texts.filter(({ px, cut, contrast }) => cut || px < LEAST_TEXT_PX || contrast < LEAST_CONTRAST),
        [],
        `${width} px: every text can be read`,
      )
      t.equal(tables, 3, `${width} px: the tables are there`)
    }
  })
